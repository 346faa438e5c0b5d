//! The entries of one key, oldest first: nearly always one, of a much rewritten key very many.

use std::collections::VecDeque;

use crate::entry::EntryId;

/// Never empty.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "every key has one of these, and nearly none has many: a pointer takes a quarter of the place"
)]
pub(crate) enum Ids {
    One(EntryId),
    /// At least two.
    Many(Box<VecDeque<EntryId>>),
}

impl Ids {
    pub(crate) fn oldest(&self) -> EntryId {
        match self {
            Self::One(id) => *id,
            Self::Many(ids) => ids[0],
        }
    }

    pub(crate) fn newest(&self) -> EntryId {
        match self {
            Self::One(id) => *id,
            Self::Many(ids) => ids[ids.len() - 1],
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = EntryId> {
        let (one, many) = match self {
            Self::One(id) => (Some(*id), None),
            Self::Many(ids) => (None, Some(ids.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Those after this one, oldest first; found without looking at those before it.
    pub(crate) fn after(&self, id: EntryId) -> impl Iterator<Item = EntryId> {
        let (one, many) = match self {
            Self::One(one) => (Some(*one).filter(|one| *one > id), None),
            Self::Many(ids) => {
                let first = ids.partition_point(|other| *other <= id);
                (None, Some(ids.range(first..).copied()))
            }
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The newest of those before this one.
    pub(crate) fn last_before(&self, id: EntryId) -> Option<EntryId> {
        match self {
            Self::One(one) => Some(*one).filter(|one| *one < id),
            Self::Many(ids) => {
                let older = ids.partition_point(|other| *other < id);
                ids.get(older.checked_sub(1)?).copied()
            }
        }
    }

    /// Adds the newest.
    pub(crate) fn push(&mut self, id: EntryId) {
        match self {
            Self::One(first) => *self = Self::Many(Box::new([*first, id].into())),
            Self::Many(ids) => ids.push_back(id),
        }
    }

    /// Takes one out; false, and nothing has changed, when it is the only one.
    pub(crate) fn take_out(&mut self, id: EntryId) -> bool {
        let Self::Many(ids) = self else {
            return self.oldest() != id;
        };
        // Nearly always the oldest.
        match ids.front() == Some(&id) {
            true => drop(ids.pop_front()),
            false => ids.retain(|other| *other != id),
        }
        if ids.len() == 1 {
            *self = Self::One(ids[0]);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ids: &Ids) -> Vec<i64> {
        assert_eq!(ids.iter().next(), Some(ids.oldest()));
        assert_eq!(ids.iter().last(), Some(ids.newest()));
        ids.iter().map(|id| id.0).collect()
    }

    #[test]
    fn ids_keep_their_order_from_one_to_many_and_back_to_none() {
        let mut ids = Ids::One(EntryId(1));
        for id in 2..=4 {
            ids.push(EntryId(id));
        }
        assert_eq!(all(&ids), [1, 2, 3, 4]);
        let steps = [
            (3, &[1, 2, 4][..]),
            (1, &[2, 4]),
            (7, &[2, 4]),
            (4, &[2]),
            (7, &[2]),
        ];
        for (gone, left) in steps {
            assert!(ids.take_out(EntryId(gone)), "{gone}");
            assert_eq!(all(&ids), left, "{gone}");
        }
        assert!(!ids.take_out(EntryId(2)), "nothing would be left");
    }

    #[test]
    fn neighbours_are_found_whether_the_id_is_there_or_not() {
        let of = |all: &[i64]| {
            let mut ids = Ids::One(EntryId(all[0]));
            all[1..].iter().for_each(|id| ids.push(EntryId(*id)));
            ids
        };
        for all in [&[5][..], &[2, 5, 6, 9]] {
            let ids = of(all);
            for id in 0..11 {
                let after: Vec<i64> = ids.after(EntryId(id)).map(|id| id.0).collect();
                let later: Vec<i64> = all.iter().copied().filter(|other| *other > id).collect();
                assert_eq!(after, later, "after {id} in {all:?}");
                let before = all.iter().copied().rfind(|other| *other < id);
                let found = ids.last_before(EntryId(id)).map(|id| id.0);
                assert_eq!(found, before, "before {id} in {all:?}");
            }
        }
    }
}
