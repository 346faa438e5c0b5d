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
}
