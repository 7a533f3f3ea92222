//! Where records are parsed and their signatures verified: on threads of its
//! own, so that neither the async threads nor other blocking work wait for it.

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::problem::Problem;

/// A bounded pool of threads. Jobs are taken in the order in which they came;
/// how many can wait is bounded by the requests that are worked on at once.
pub(crate) struct Verifier {
    pool: Option<ThreadPool>,
}

impl Verifier {
    pub(crate) fn new(threads: usize) -> Self {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("verify-{number}"))
            // The waiting request notices that its job is gone.
            .panic_handler(|_| tracing::error!("a verification panicked"))
            .build()
            .inspect_err(|error| tracing::warn!(%error, "verifying on the runtime's threads"))
            .ok();
        Self { pool }
    }

    /// Runs `job` on the pool.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(pool) = &self.pool else { return blocking(job).await };
        let (sender, receiver) = oneshot::channel();
        pool.spawn_fifo(move || {
            // The request may have been given up, before its turn or since.
            if !sender.is_closed() {
                let _ = sender.send(job());
            }
        });
        receiver.await.map_err(|_| Problem::internal(&"a verification panicked"))
    }
}

/// Where there is no pool: on the runtime's blocking threads.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(job).await.map_err(|error| Problem::internal(&error))
}
