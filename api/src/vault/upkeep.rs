//! What the vault and the ledger owe each other: erasures that are yet to be
//! recorded, and private fields of records that never came onto the ledger.

use std::{sync::Arc, time::Duration};

use quittance_ledger::{
    insurance::Data,
    store::Store,
    vault::{Erasure, Vault},
};

use super::erase::signed_erasure;
use crate::{
    problem::Problem,
    reading::store_failed,
    submit::{Accepted, Submit},
};

/// How long a round waits for the next.
const PAUSE: Duration = Duration::from_secs(5);

/// Goes on until it is dropped: records erasures that a crash or a full queue
/// held up, signs those again that the ledger refuses, keeps what was staged of
/// records that came onto the ledger, and destroys it of those that did not.
///
/// Not to be run while the ledger is fetched again: it would take records for
/// refused that are yet to come.
pub async fn upkeep(store: Arc<Store>, node: Arc<dyn Submit>) {
    let Some(vault) = node.vault() else { return };
    loop {
        if let Err(problem) = round(&vault, &store, &node).await {
            tracing::warn!(
                code = problem.code(),
                detail = problem.detail(),
                "the vault's upkeep goes on later"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks once at all that is open.
pub(super) async fn round(
    vault: &Arc<Vault>,
    store: &Arc<Store>,
    node: &Arc<dyn Submit>,
) -> Result<(), Problem> {
    let (job_vault, job_store, job_node) = (vault.clone(), store.clone(), node.clone());
    let unsaid = blocking(move || {
        settle_staged(&job_vault, &job_store, &*job_node)?;
        job_vault.resume_erasures()?;
        unsaid(&job_vault, &job_store, &*job_node)
    })
    .await?;
    for erasure in unsaid {
        // Only a key that is in force is taken.
        let refused = match erasure.signed.clone().verify(&store.membership()) {
            Ok(record) => {
                let accepted = node.submit(vec![record]).await?.pop();
                matches!(accepted, Some(Accepted::Refused(_)))
            }
            Err(_) => true,
        };
        if refused {
            let (job_vault, job_node) = (vault.clone(), node.clone());
            blocking(move || sign_again(&job_vault, &*job_node, &erasure)).await?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(job).await.map_err(|error| Problem::internal(&error))?
}

fn settle_staged(vault: &Vault, store: &Store, node: &dyn Submit) -> Result<(), Problem> {
    for id in vault.staged() {
        // A record may become final between the two questions, so pending comes first.
        let is_pending = node.pending(&id).is_some();
        if store.find(&id).map_err(|error| store_failed(node, error))?.is_some() {
            vault.keep(&id)?;
        } else if !is_pending {
            tracing::info!(%id, "a record was not taken; what was private of it is destroyed");
            vault.discard(&id)?;
        }
    }
    Ok(())
}

/// The erasures that are not on the ledger; of the others that is noted.
fn unsaid(vault: &Vault, store: &Store, node: &dyn Submit) -> Result<Vec<Erasure>, Problem> {
    let mut unsaid = Vec::new();
    for erasure in vault.erasures() {
        let found = store.find(&erasure.signed.id()).map_err(|error| store_failed(node, error))?;
        if found.is_some() {
            vault.erasure_recorded(&erasure.record)?;
        } else {
            unsaid.push(erasure);
        }
    }
    Ok(unsaid)
}

fn sign_again(vault: &Vault, node: &dyn Submit, erasure: &Erasure) -> Result<(), Problem> {
    let Data::DisclosureErased(data) = &erasure.signed.payload().data else { return Ok(()) };
    let signer = erasure.signed.signer();
    let (_, signed) = signed_erasure(node, signer, &erasure.record, &data.basis)?;
    tracing::warn!(id = %erasure.record, "an erasure is signed again: the ledger refused it");
    Ok(vault.sign_erasure_again(&erasure.record, &signed)?)
}
