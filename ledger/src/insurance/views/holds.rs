//! Pre-authorisations and the holds they make.

use jiff::Timestamp;

use super::{Standing, claims::Used, shown};
use crate::{
    digest::RecordId,
    insurance::{
        Amount,
        settlement::{
            Line, PreauthorisationAnswered, PreauthorisationReleased, PreauthorisationRequested,
            ReleaseReason,
        },
    },
};

shown! {
    /// How a pre-authorisation stands.
    enum PreauthorisationState {
        /// The insurer has not answered.
        Pending = "pending",
        /// The insurer guarantees nothing.
        Declined = "declined",
        /// What is guaranteed is held.
        Held = "held",
        /// A claim used the hold up.
        Claimed = "claimed",
        /// The hold was given back.
        Cancelled = "cancelled",
        /// Another pre-authorisation took its place.
        Replaced = "replaced",
        /// The hold ended after 24 hours.
        Expired = "expired",
    }
}

shown! {
    /// What a provider asked before it treats or repairs. Amounts are in minor units.
    Preauthorisation {
        /// Its number.
        preauthorisation: String,
        /// How it stands.
        state: PreauthorisationState,
        /// The provider that asked; null where the request is missing.
        provider: Option<String>,
        /// What it asked for.
        requested: Option<u64>,
        /// What the customer pays in any case.
        not_covered: Option<u64>,
        /// What the insurer guarantees.
        guaranteed: Option<u64>,
        /// What is left to the customer.
        customer_share: Option<u64>,
        /// Of the amounts.
        currency: Option<String>,
        /// Why not all of it.
        reason: Option<String>,
        /// The last moment of the hold.
        hold_until: Option<Timestamp>,
        /// How long the hold lasts from here, in whole seconds, where it is live.
        seconds_left: Option<u64>,
        /// The request that it replaces.
        replaces: Option<String>,
        /// The request that took its place.
        replaced_by: Option<String>,
        /// The claim that used it up.
        claim: Option<String>,
        /// The number of the insurance period whose ceiling it counts against.
        period: Option<u32>,
        /// When it was asked.
        requested_at: Option<Timestamp>,
        /// The record that asks.
        requested_by: Option<RecordId>,
        /// When it was answered.
        answered_at: Option<Timestamp>,
        /// The record with the answer.
        answered_by: Option<RecordId>,
        /// When the hold ended, other than by itself.
        ended_at: Option<Timestamp>,
        /// The record that ended it.
        ended_by: Option<RecordId>,
    }
}

impl Preauthorisation {
    const fn new(preauthorisation: String) -> Self {
        Self {
            preauthorisation,
            state: PreauthorisationState::Pending,
            provider: None,
            requested: None,
            not_covered: None,
            guaranteed: None,
            customer_share: None,
            currency: None,
            reason: None,
            hold_until: None,
            seconds_left: None,
            replaces: None,
            replaced_by: None,
            claim: None,
            period: None,
            requested_at: None,
            requested_by: None,
            answered_at: None,
            answered_by: None,
            ended_at: None,
            ended_by: None,
        }
    }

    /// What it holds at that time.
    pub(super) fn held(&self, time: Timestamp) -> u64 {
        match (self.guaranteed, self.hold_until) {
            (Some(guaranteed), Some(until)) if self.ended_by.is_none() && time <= until => {
                guaranteed
            }
            _ => 0,
        }
    }
}

/// The pre-authorisations of a contract while records are taken in.
#[derive(Default)]
pub(super) struct Holds {
    shown: Vec<Preauthorisation>,
}

impl Holds {
    /// The pre-authorisation of that number, which is made where it is missing.
    fn of(&mut self, number: &str) -> Option<&mut Preauthorisation> {
        let place = self.shown.iter().rposition(|it| it.preauthorisation == number);
        if place.is_none() {
            self.shown.push(Preauthorisation::new(number.to_owned()));
        }
        match place {
            Some(place) => self.shown.get_mut(place),
            None => self.shown.last_mut(),
        }
    }

    pub(super) fn requested(&mut self, standing: &Standing<'_>, data: &PreauthorisationRequested) {
        let Some(asked) = self.of(data.preauthorisation.as_str()) else { return };
        asked.provider = Some(standing.signer());
        asked.requested = sum(&data.lines);
        asked.not_covered = data.not_covered.as_deref().and_then(sum);
        asked.currency = Some(data.currency.code().to_owned());
        asked.replaces = data.replaces.as_ref().map(ToString::to_string);
        asked.requested_at = Some(standing.at);
        asked.requested_by = Some(standing.id());
    }

    pub(super) fn answered(
        &mut self,
        standing: &Standing<'_>,
        data: &PreauthorisationAnswered,
        period: Option<u32>,
    ) {
        let Some(asked) = self.of(data.preauthorisation.as_str()) else { return };
        asked.guaranteed = Some(data.guaranteed.minor_units());
        asked.customer_share = Some(data.customer_share.minor_units());
        asked.currency = Some(data.currency.code().to_owned());
        asked.reason = data.reason.as_ref().map(ToString::to_string);
        asked.hold_until = data.hold_until.map(crate::insurance::Moment::timestamp);
        asked.period = period;
        asked.answered_at = Some(standing.at);
        asked.answered_by = Some(standing.id());
        asked.state = if data.guaranteed == Amount::ZERO {
            PreauthorisationState::Declined
        } else {
            PreauthorisationState::Held
        };
    }

    pub(super) fn released(&mut self, standing: &Standing<'_>, data: &PreauthorisationReleased) {
        let Some(held) = self.of(data.preauthorisation.as_str()) else { return };
        held.state = match data.reason {
            ReleaseReason::Cancelled => PreauthorisationState::Cancelled,
            ReleaseReason::Replaced => PreauthorisationState::Replaced,
        };
        held.replaced_by = data.replaced_by.as_ref().map(ToString::to_string);
        held.ended_at = Some(standing.at);
        held.ended_by = Some(standing.id());
    }

    /// Ends the hold that a claim uses up.
    pub(super) fn claimed(&mut self, standing: &Standing<'_>, number: &str) -> Option<Used> {
        let claim = standing.claim().map(ToString::to_string);
        let held = self.shown.iter_mut().rev().find(|it| it.preauthorisation == number)?;
        let (Some(answered), Some(guaranteed), Some(until)) =
            (held.answered_by, held.guaranteed, held.hold_until)
        else {
            return None;
        };
        held.state = PreauthorisationState::Claimed;
        held.claim = claim;
        held.ended_at = Some(standing.at);
        held.ended_by = Some(standing.id());
        let currency = held.currency.as_deref().and_then(|currency| currency.parse().ok());
        Some(Used { answered, period: held.period, guaranteed, currency, until })
    }

    /// Numbers of periods, currencies and amounts that are held at that time.
    pub(super) fn held(&self, time: Timestamp) -> impl Iterator<Item = (u32, &str, u64)> {
        self.shown.iter().filter_map(move |held| {
            Some((held.period?, held.currency.as_deref()?, held.held(time)))
                .filter(|(_, _, amount)| *amount > 0)
        })
    }

    pub(super) fn finish(mut self, time: Timestamp) -> Vec<Preauthorisation> {
        for held in &mut self.shown {
            if held.state != PreauthorisationState::Held {
                continue;
            }
            match held.hold_until {
                Some(until) if time <= until => {
                    let left = until.duration_since(time).as_secs();
                    held.seconds_left = Some(u64::try_from(left).unwrap_or(0));
                }
                _ => held.state = PreauthorisationState::Expired,
            }
        }
        self.shown
    }
}

fn sum(lines: &[Line]) -> Option<u64> {
    Amount::checked_sum(lines.iter().map(|line| line.amount)).map(Amount::minor_units)
}
