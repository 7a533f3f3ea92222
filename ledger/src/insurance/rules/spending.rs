//! What a period has spent and holds by every moment, however late that is told.

use std::collections::BTreeMap;

use crate::{
    insurance::{
        Moment,
        state::entities::{Claim, ClaimStepKind, Hold, Period, Spending},
    },
    limits::PERIOD_SPENDING_MAX,
};

/// How long a hold lasts: 24 hours.
pub(super) const HOLD_NANOSECONDS: i128 = 86_400 * 1_000_000_000;

/// By how much an amount changes, at each of some moments.
pub(super) type Changes = BTreeMap<Moment, i128>;

pub(super) fn nanosecond(moment: Moment) -> i128 {
    moment.timestamp().as_nanosecond()
}

/// What is spent and held at the moment of some span at which that is most.
#[derive(Default)]
pub(super) struct Most<'p> {
    /// In nanoseconds since the epoch.
    pub(super) at: i128,
    pub(super) spent: i128,
    pub(super) held: i128,
    pub(super) holds: Vec<&'p Hold>,
}

impl Hold {
    /// The first and the last nanosecond at which it counts; of one that ended at the
    /// moment at which it began, the last is before the first.
    pub(super) fn span(&self) -> (i128, i128) {
        let until = nanosecond(self.until);
        let ended = self.ended.map_or(i128::MAX, |ended| nanosecond(ended) - 1);
        (until - HOLD_NANOSECONDS, until.min(ended))
    }
}

impl Period {
    /// The most that is spent and held at one moment from `first` to `last`.
    pub(super) fn most(&self, first: i128, last: i128) -> Most<'_> {
        let spent = self.spending.iter().map(|step| (nanosecond(step.at), step.change, 0));
        let held = self.holds.iter().flat_map(|hold| {
            let (amount, (begins, ends)) = (i128::from(hold.amount.minor_units()), hold.span());
            [(begins, 0, amount), (ends + 1, 0, -amount)]
        });
        // What was before counts from the first moment on.
        let changes = spent.chain(held).map(|(at, spent, held)| (at.max(first), spent, held));
        let mut changes: Vec<_> = changes.filter(|(at, ..)| *at <= last).collect();
        changes.push((first, self.spent_before, 0));
        changes.sort_unstable_by_key(|(at, ..)| *at);
        let (mut now, mut most) = (Most::default(), None::<Most<'_>>);
        for together in changes.chunk_by(|(at, ..), (next, ..)| at == next) {
            for (at, spent, held) in together {
                (now.at, now.spent, now.held) = (*at, now.spent + spent, now.held + held);
            }
            let used = now.spent + now.held;
            if most.as_ref().is_none_or(|most| used > most.spent + most.held) {
                most = Some(Most { holds: Vec::new(), ..now });
            }
        }
        let mut most = most.unwrap_or_default();
        let lives = |hold: &&Hold| {
            let (begins, ends) = hold.span();
            begins <= most.at && most.at <= ends
        };
        most.holds = self.holds.iter().filter(lives).collect();
        most
    }

    /// Whether an amount counts in it, or did.
    pub(super) fn is_used(&self) -> bool {
        self.spent_before > 0 || !self.spending.is_empty() || !self.holds.is_empty()
    }

    /// Takes in changes of what is spent.
    ///
    /// Of moments that are forgotten it keeps the most that was spent at one of them: a
    /// rise counts at all of them, and a fall at none.
    pub(super) fn take(&mut self, changes: &Changes) {
        let (mut sum, mut most) = (0, 0);
        for (at, change) in changes {
            if self.spent_since.is_some_and(|since| *at < since) {
                sum += change;
                most = sum.max(most);
            } else {
                self.take_one(*at, *change);
            }
        }
        self.spent_before += most;
        if let Some(since) = self.spent_since {
            self.take_one(since, sum - most);
        }
        self.spending.retain(|step| step.change != 0);
        while self.spending.len() > PERIOD_SPENDING_MAX {
            let oldest = self.spending.remove(0);
            let Some(next) = self.spending.first_mut() else { break };
            let level = self.spent_before + oldest.change;
            self.spent_before = self.spent_before.max(level);
            next.change += level - self.spent_before;
            self.spent_since = Some(next.at);
        }
    }

    fn take_one(&mut self, at: Moment, change: i128) {
        match self.spending.binary_search_by_key(&at, |step| step.at) {
            Ok(place) => {
                if let Some(step) = self.spending.get_mut(place) {
                    step.change += change;
                }
            }
            Err(place) => self.spending.insert(place, Spending { at, change }),
        }
    }

    /// Keeps of holds that are over only how much they were and when: for what is told
    /// late they count as what is spent does.
    pub(super) fn forget_holds_over_by(&mut self, newest: i128) {
        let (over, live) = self.holds.drain(..).partition(|hold| hold.span().1 < newest);
        self.holds = live;
        let mut changes = Changes::new();
        let moment = |at| jiff::Timestamp::from_nanosecond(at).ok().map(Moment::from);
        let over: Vec<Hold> = over;
        for hold in over {
            let (amount, (begins, ends)) = (i128::from(hold.amount.minor_units()), hold.span());
            if let (Some(begins), Some(ended)) = (moment(begins), moment(ends + 1)) {
                *changes.entry(begins).or_default() += amount;
                *changes.entry(ended).or_default() -= amount;
            }
        }
        self.take(&changes);
    }
}

impl Claim {
    /// What it uses of its period's ceiling by a moment: what was claimed on a hold,
    /// then what was approved; never less than what was accepted or paid.
    pub(super) fn spent_by(&self, at: Moment) -> i128 {
        let newest = |kind: ClaimStepKind| {
            let mut steps = self.steps.iter().rev();
            steps.find(|step| step.kind == kind && step.at <= at).map(|step| step.amount)
        };
        let on_hold = self.preauthorisation.is_some() && self.opened_at <= at;
        let decided = newest(ClaimStepKind::Approved)
            .or(self.stood.approved)
            .or(self.claimed.filter(|_| on_hold));
        let accepted = newest(ClaimStepKind::Accepted).or(self.stood.accepted);
        let due = decided.unwrap_or_default().max(accepted.unwrap_or_default());
        i128::from(due.minor_units()).max(self.paid_by(at))
    }

    /// What it has spent by a moment, and how that changes after it.
    pub(super) fn spending_from(&self, from: Moment) -> Changes {
        let later = self.steps.iter().map(|step| step.at).chain([self.opened_at]);
        let mut moments: Vec<Moment> = later.filter(|at| *at > from).chain([from]).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut before = 0;
        let changes = moments.into_iter().map(|at| {
            let spent = self.spent_by(at);
            (at, spent - std::mem::replace(&mut before, spent))
        });
        changes.filter(|(_, change)| *change != 0).collect()
    }
}

/// The spans of time, first and last nanosecond, in which there is more by some changes.
pub(super) fn rises(changes: &Changes) -> Vec<(i128, i128)> {
    let (mut rises, mut sum, mut since) = (Vec::new(), 0, None);
    for (at, change) in changes {
        sum += change;
        match since {
            None if sum > 0 => since = Some(nanosecond(*at)),
            Some(first) if sum <= 0 => {
                rises.push((first, nanosecond(*at) - 1));
                since = None;
            }
            _ => {}
        }
    }
    rises.extend(since.map(|first| (first, i128::MAX)));
    rises
}
