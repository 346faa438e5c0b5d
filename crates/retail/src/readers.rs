//! Where documents are read: on threads of their own, a few at a time, so that ticks, probes and other callers never wait
//! for an invoice.

use std::sync::Arc;
use std::time::Duration;

use mainstay_runtime::{Clock, Error, ErrorKind, Moment};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::tasks::{InvalidRequest, RejectedAnswer, Task};

/// How many documents are read at once: with every core taken, even ticks would be late.
const PLACES: usize = 2;

/// How long somebody who found no place should stay away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The places for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    places: Arc<Semaphore>,
    clock: Clock,
}

impl Readers {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            clock,
        }
    }

    /// [`Task::by_rules`], off the server's own threads.
    pub(crate) async fn by_rules<T: Task>(
        &self,
        task: &Arc<T>,
        deadline: Moment,
    ) -> Result<Result<T::Output, InvalidRequest>, Error> {
        let task = Arc::clone(task);
        self.read(deadline, move || task.by_rules()).await
    }

    /// [`Task::accept`], off the server's own threads.
    pub(crate) async fn accept<T: Task>(
        &self,
        task: &Arc<T>,
        answer: Value,
        deadline: Moment,
    ) -> Result<Result<T::Output, RejectedAnswer>, Error> {
        let task = Arc::clone(task);
        self.read(deadline, move || task.accept(answer)).await
    }

    /// What has been begun is finished, and keeps its place until then, even when its caller no longer waits.
    async fn read<R: Send + 'static>(
        &self,
        deadline: Moment,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = self
            .clock
            .until(deadline, place)
            .await
            .map_err(|_| busy())?;
        let reading = spawn_blocking(move || {
            let _place = place;
            work()
        });
        match self.clock.until(deadline, reading).await {
            Ok(read) => read.map_err(|_panicked| {
                Error::new(ErrorKind::Internal, "a defect in the rules ended this task")
            }),
            Err(_elapsed) => Err(Error::new(
                ErrorKind::Timeout,
                "the text wasn't read in time; send a shorter one",
            )),
        }
    }
}

fn busy() -> Error {
    Error::new(
        ErrorKind::Busy,
        "other documents are being read, and none was done in time",
    )
    .retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use serde::Deserialize;

    use super::*;
    use crate::tasks::Prompt;

    const LONG: Duration = Duration::from_secs(20);

    /// A task that answers with the thread that does it.
    #[derive(Deserialize)]
    struct Whereabouts;

    impl Task for Whereabouts {
        type Output = String;
        const NAME: &'static str = "whereabouts";

        fn validate(&self) -> Result<(), InvalidRequest> {
            Ok(())
        }

        fn prompt(&self) -> Prompt {
            Prompt {
                system: String::new(),
                user: String::new(),
            }
        }

        fn answer_schema() -> Value {
            Value::Null
        }

        fn accept(&self, _: Value) -> Result<String, RejectedAnswer> {
            Ok(here())
        }

        fn by_rules(&self) -> Result<String, InvalidRequest> {
            Ok(here())
        }
    }

    fn here() -> String {
        format!("{:?}", thread::current().id())
    }

    #[tokio::test]
    async fn neither_the_rules_nor_the_check_of_an_answer_run_on_the_servers_thread() {
        let clock = Clock::start();
        let (readers, task) = (Readers::new(clock), Arc::new(Whereabouts));
        let deadline = clock.now() + LONG;
        let by_rules = readers.by_rules(&task, deadline).await.unwrap().unwrap();
        let accepted = readers.accept(&task, Value::Null, deadline).await;
        assert_ne!(by_rules, here());
        assert_ne!(accepted.unwrap().unwrap(), here());
    }

    /// Reads until it is told to end; says when it has begun.
    fn endless(begun: Sender<()>, end: Receiver<()>) -> impl FnOnce() + Send + 'static {
        move || {
            begun.send(()).unwrap();
            end.recv_timeout(LONG).unwrap();
        }
    }

    #[tokio::test]
    async fn a_reading_keeps_its_place_past_its_deadline_and_the_next_waits_no_longer_than_its_own()
    {
        let clock = Clock::start();
        let readers = Readers::new(clock);
        let soon = || clock.now() + Duration::from_millis(100);
        let mut ends = Vec::new();
        for _ in 0..PLACES {
            let (begun, has_begun) = channel();
            let (end, ended) = channel();
            let late = readers.read(soon(), endless(begun, ended)).await;
            assert_eq!(late.unwrap_err().kind, ErrorKind::Timeout);
            has_begun.recv_timeout(LONG).unwrap();
            ends.push(end);
        }
        let refused = readers.read(soon(), || ()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        for end in ends {
            end.send(()).unwrap();
        }
        readers.read(clock.now() + LONG, || ()).await.unwrap();
    }

    #[tokio::test]
    async fn a_defect_in_the_rules_is_an_error_and_leaves_its_place() {
        let clock = Clock::start();
        let readers = Readers::new(clock);
        for _ in 0..=PLACES {
            let ended = readers
                .read(clock.now() + LONG, || panic!("as a defect would"))
                .await;
            let ended: Result<(), Error> = ended;
            assert_eq!(ended.unwrap_err().kind, ErrorKind::Internal);
        }
    }
}
