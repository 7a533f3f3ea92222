//! What the vault and the ledger owe each other: erasures that are yet to be
//! recorded, and private fields of records that never came onto the ledger.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use quittance_ledger::{
    digest::RecordId,
    insurance::{Data, RecordType},
    store::{Entry, Filter, Store},
    vault::{Erasure, Standing, Vault},
};

use super::erase::signed_erasure;
use crate::{
    problem::Problem,
    reading::store_failed,
    submit::{Accepted, Submit},
};

/// How long a round waits for the next.
const PAUSE: Duration = Duration::from_secs(5);

/// How long what is private of a record is kept that was accepted here and then
/// refused: other nodes may still have the record, and let it in once something else
/// has come (a node keeps those of others for ten minutes).
const DOUBT: Duration = Duration::from_secs(3600);

/// Erasures that are looked at together when a node starts.
const ERASURES_PER_PAGE: usize = 1000;

/// Brings together what the vault and the ledger know: records erasures that a crash
/// or a full queue held up, signs those again that the ledger refuses, carries those
/// out that an older copy of the vault does not know of, keeps what was staged of
/// records that came onto the ledger, and destroys it of those that did not.
///
/// Not to be run while the ledger is fetched again: it would take records for
/// refused that are yet to come.
pub struct Upkeep {
    vault: Arc<Vault>,
    store: Arc<Store>,
    node: Arc<dyn Submit>,
    doubts: Doubts,
    doubt: Duration,
    compared: bool,
}

/// Records that are not on the ledger and may come onto it all the same, and since
/// when that is known.
type Doubts = HashMap<RecordId, Instant>;

impl Upkeep {
    /// The upkeep of a node's vault; none where it has none. To be made before the
    /// node takes records.
    #[must_use]
    pub fn new(store: Arc<Store>, node: Arc<dyn Submit>) -> Option<Self> {
        let vault = node.vault()?;
        // Whatever is staged when a node starts: why is not known any more.
        let doubts = vault.staged().into_iter().map(|id| (id, Instant::now())).collect();
        Some(Self { vault, store, node, doubts, doubt: DOUBT, compared: false })
    }

    /// The same, which lets go of what is in doubt after so long.
    #[must_use]
    pub const fn with_doubt(mut self, doubt: Duration) -> Self {
        self.doubt = doubt;
        self
    }

    /// Goes on until it is dropped.
    pub async fn run(mut self) {
        loop {
            self.round().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks once at all that is open. What goes wrong is logged and tried again in
    /// the next round; with one erasure it holds up no other.
    pub async fn round(&mut self) {
        match self.look().await {
            Ok(erasures) => {
                for erasure in erasures {
                    if let Err(problem) = self.say(erasure).await {
                        goes_on_later(&problem);
                    }
                }
            }
            Err(problem) => goes_on_later(&problem),
        }
    }

    /// Takes the steps that need no record, and tells which erasures need one.
    async fn look(&mut self) -> Result<Vec<Erasure>, Problem> {
        let (vault, store, node) = (self.vault.clone(), self.store.clone(), self.node.clone());
        if !self.compared {
            let (vault, store, node) = (vault.clone(), store.clone(), node.clone());
            blocking(move || erase_again(&vault, &store, &*node)).await?;
            self.compared = true;
        }
        let (doubts, doubt) = (std::mem::take(&mut self.doubts), self.doubt);
        let job = move || {
            let mut doubts = doubts;
            let erasures = settle_staged(&vault, &store, &*node, &mut doubts, doubt)
                .and_then(|()| Ok(vault.resume_erasures()?))
                .and_then(|()| unsaid(&vault, &store, &*node));
            Ok((erasures, doubts))
        };
        let (erasures, doubts) = blocking(job).await?;
        self.doubts = doubts;
        erasures
    }

    /// Brings the record of an erasure to the ledger.
    async fn say(&self, erasure: Erasure) -> Result<(), Problem> {
        // Only a key that is in force is taken.
        let refused = match erasure.signed.clone().verify(&self.store.membership()) {
            Ok(record) => {
                let accepted = self.node.submit(vec![record]).await?.pop();
                matches!(accepted, Some(Accepted::Refused(_)))
            }
            Err(_) => true,
        };
        if refused {
            let (vault, node) = (self.vault.clone(), self.node.clone());
            blocking(move || sign_again(&vault, &*node, &erasure)).await?;
        }
        Ok(())
    }
}

fn goes_on_later(problem: &Problem) {
    let (code, detail) = (problem.code(), problem.detail());
    tracing::warn!(code, detail, "the vault's upkeep goes on later");
}

/// Erases what the vault holds though this node's member says on the ledger that it
/// was erased: the vault is a copy from before.
fn erase_again(vault: &Vault, store: &Store, node: &dyn Submit) -> Result<(), Problem> {
    let Some(member) = node.status().member else { return Ok(()) };
    let filter = Filter {
        signer: Some(member),
        record_type: Some(RecordType::DisclosureErased),
        ..Filter::default()
    };
    let mut after = None;
    loop {
        let page = store
            .query(&filter, after, ERASURES_PER_PAGE)
            .map_err(|error| store_failed(node, error))?;
        for Entry { record, .. } in page.entries {
            if let Data::DisclosureErased(data) = &record.payload().data
                && let id = data.record.id()
                && vault.standing(&id) == Standing::Held
            {
                tracing::warn!(%id, "what the ledger says was erased was here again; it is erased");
                vault.erase(&id, &record.clone().into())?;
            }
        }
        match page.next_after {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(job).await.map_err(|error| Problem::internal(&error))?
}

fn settle_staged(
    vault: &Vault,
    store: &Store,
    node: &dyn Submit,
    doubts: &mut Doubts,
    doubt: Duration,
) -> Result<(), Problem> {
    let staged: HashSet<_> = vault.staged().into_iter().collect();
    doubts.retain(|id, _| staged.contains(id));
    for id in staged {
        // A record may become final between the two questions, so pending comes first.
        let is_pending = node.pending(&id).is_some();
        if store.find(&id).map_err(|error| store_failed(node, error))?.is_some() {
            vault.keep(&id)?;
            continue;
        }
        if is_pending {
            continue;
        }
        // What the node refused at once was never anywhere else.
        if node.refusal(&id).is_some() {
            doubts.entry(id).or_insert_with(Instant::now);
        }
        if doubts.get(&id).is_none_or(|since| since.elapsed() >= doubt) {
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
