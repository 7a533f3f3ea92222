//! What people ask of the ledger: the dossier of a contract, a claim, a
//! statement, exceptions (docs/VIEWS.md).
//!
//! A view is a fold over records in the order of the ledger, and nothing is
//! stored for it: what it shows follows from the records alone, whose ids it
//! names, and a view of the past costs what one of the present costs. Views
//! judge nothing. The rules have decided what may stand; a view shows it as the
//! rules count it, and where a history holds what no rule would let pass, it
//! shows what can be shown.
//!
//! There is no clock here. "Now" is an argument, as is the moment of the past
//! that is asked for ([`AsOf`]).

mod as_of;
mod claim_view;
mod claims;
mod contract;
mod documents;
mod dossier;
mod event;
mod exceptions;
mod holds;
mod ladder;
mod money;
mod schema;
mod select;
mod sentence;
mod signatures;
mod statement;
#[cfg(test)]
mod tests;
mod time;

pub use super::rules::POLICYHOLDER;
pub use as_of::{AsOf, AsOfShown, At};
pub use claim_view::{
    ClaimStatus, ClaimView, Deadline, DeadlineKind, DeadlineState, Decision, Dispute, Offer,
    Payment, Progress,
};
pub use contract::{
    Change, ContractFacts, ContractStatus, PeriodUse, Premium, Termination, Value, VersionShown,
};
pub use documents::{Colour, Documents, IssuedPaper, Item, ItemState};
pub use dossier::{
    Alert, ChangeRequest, ClaimSummary, Consent, Dossier, PartyUpdate, Reward, claim, dossier,
    zone_of,
};
pub use event::Event;
pub use exceptions::{Consequences, Exception, ExceptionKind, follow_up, is_provider, of_record};
pub use holds::{Preauthorisation, PreauthorisationState};
pub use ladder::{Ladder, Step};
pub use money::{format_amount, format_amount_or_dash, format_days_left};
pub use select::Line;
pub use signatures::{SignatureShown, SignatureStatus};
pub use statement::{
    OpenClaim, PaymentLine, Statement, StatementLines, StatementQuery, Total, opener_of, payee_of,
    statement, statement_of_figures,
};
pub use time::{
    DEFAULT_TIME_ZONE, day_of, days_between, end_of_day, start_of_day, time_zone, zone_of_insurer,
};

use schema::shown;
use select::{Selection, Standing, select};
