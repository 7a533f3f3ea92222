//! Work that reads the store: on the runtime's blocking threads, a bounded
//! number at once, each with an eye on whether anybody still waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use quittance_ledger::store::StoreError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinError,
};

use crate::{
    limits::{LOOKING_TIME, READ_PLACE_TIME},
    problem::{Kind, Problem},
    state::{App, Shared},
    submit::Submit,
};

/// Why a job gives no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// What was asked cannot be given.
    Problem(Problem),
    /// The store failed.
    Store(StoreError),
}

impl Failed {
    /// Whether what was asked cannot be given for a reason of that kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        matches!(self, Self::Problem(problem) if problem.is(kind))
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How long a job may go on.
#[derive(Debug)]
pub(crate) struct Patience {
    started: Instant,
    gone: Arc<AtomicBool>,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), gone: Arc::default() }
    }

    /// Checks that somebody still waits for the answer: the client may have
    /// left, or the request run out of time.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Problem::new(Kind::Timeout, "nobody waits for the answer").into());
        }
        Ok(())
    }

    /// Whether it is time to give what has been found.
    pub(crate) fn is_used_up(&self) -> bool {
        self.started.elapsed() >= LOOKING_TIME
    }
}

/// Tells a job, when it is dropped, that nobody waits for it any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The places for jobs that read the store.
#[derive(Debug)]
pub(crate) struct Reads {
    places: Arc<Semaphore>,
}

/// No place became free in time.
#[derive(Debug, PartialEq, Eq)]
struct Full;

impl Reads {
    /// Places for `jobs_max` jobs at once.
    pub(crate) fn new(jobs_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(jobs_max)) }
    }

    /// A place that becomes free within `time`.
    async fn place(&self, time: Duration) -> Result<OwnedSemaphorePermit, Full> {
        let place = Arc::clone(&self.places).acquire_owned();
        // The semaphore is never closed.
        tokio::time::timeout(time, place).await.ok().and_then(Result::ok).ok_or(Full)
    }

    /// Runs a job that has its place.
    async fn run<T: Send + 'static>(
        place: OwnedSemaphorePermit,
        job: impl FnOnce(&Patience) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let patience = Patience::new();
        let _waiting = Waiting(Arc::clone(&patience.gone));
        tokio::task::spawn_blocking(move || {
            // The job's, not the request's: work that goes on keeps its place.
            let _place = place;
            job(&patience)
        })
        .await
    }
}

/// The answer where the store failed. Damage is the end of the node, which must
/// not go on serving from files that are not what was written.
pub(crate) fn store_failed(node: &dyn Submit, error: StoreError) -> Problem {
    let problem = Problem::internal(&error);
    if error.is_damage() {
        node.damaged(error);
    }
    problem
}

impl App {
    /// Runs a job that reads the store, once there is a place for it.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Shared,
        job: impl FnOnce(&Shared, &Patience) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Problem> {
        self.read_within(READ_PLACE_TIME, job).await
    }

    /// As [`App::read`], for work that may wait for its place as long as it takes.
    pub(crate) async fn read_in_turn<T: Send + 'static>(
        self: &Shared,
        job: impl FnOnce(&Shared, &Patience) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Problem> {
        self.read_within(Duration::MAX, job).await
    }

    async fn read_within<T: Send + 'static>(
        self: &Shared,
        place_time: Duration,
        job: impl FnOnce(&Shared, &Patience) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.reads.place(place_time).await;
        let place =
            place.map_err(|Full| self.overloaded("too many requests read the ledger at once"))?;
        let app = Shared::clone(self);
        match Reads::run(place, move |patience| job(&app, patience)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failed::Problem(problem))) => Err(problem),
            Ok(Err(Failed::Store(error))) => Err(self.store_failed(error)),
            Err(error) => Err(Problem::internal(&error)),
        }
    }

    /// The answer where the store failed.
    pub(crate) fn store_failed(&self, error: StoreError) -> Problem {
        store_failed(&*self.node, error)
    }

    /// The node has too much to do.
    pub(crate) fn overloaded(&self, detail: &'static str) -> Problem {
        Problem::new(Kind::Overloaded, detail).retry_after(self.config.limits.retry_after_s)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_learns_it_and_keeps_its_place_until_it_ends() {
        let reads = Reads::new(1);
        let place = reads.place(Duration::MAX).await.unwrap();
        let (began, beginning) = mpsc::channel();
        let (end, ending) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let request = tokio::spawn(Reads::run(place, move |patience| {
            began.send(patience.check().is_ok()).unwrap();
            ending.recv().unwrap();
            tell.send(patience.check().is_err()).unwrap();
        }));
        let began = tokio::task::spawn_blocking(move || beginning.recv().unwrap());
        assert!(began.await.unwrap(), "somebody waits at first");
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        // Nobody waits any more, yet the work goes on, so nothing else may begin.
        assert_eq!(reads.place(Duration::from_millis(20)).await.unwrap_err(), Full);
        end.send(()).unwrap();
        assert!(reads.place(Duration::MAX).await.is_ok());
        assert!(told.recv().unwrap(), "the job learns that nobody waits");
    }
}
