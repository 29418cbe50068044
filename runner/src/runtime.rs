//! The one thread that talks to the database.

use sealift_verifier::report::{Exit, Failure};
use tokio::runtime::Builder;

/// Runs a future to its end on this thread.
///
/// # Errors
/// [`Failure`] when the kernel gives no event queue.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let built = Builder::new_current_thread().enable_all().build();
    let runtime =
        built.map_err(|error| Failure::new(Exit::Unknown, error).context("no connection can be made from here"))?;
    Ok(runtime.block_on(future))
}
