//! What a seed makes happen: how many validators there are, which of them fail
//! and how, what the links do, and what is submitted.

use std::time::Duration;

use rand::{Rng, SeedableRng as _, seq::IndexedRandom as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    clock::Moment,
    network::{Machine, Quality},
};

/// Something that goes wrong at a moment.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A machine crashes once it has done so many more things: in the midst of
    /// whatever it is doing. It is back after a while.
    Crash { machine: Machine, after: u32, away: Duration },
    /// Machines on different sides cannot talk for a while.
    Partition { sides: Vec<u8>, lasts: Duration },
}

/// One machine.
#[derive(Debug, Clone, Copy)]
pub struct MachinePlan {
    /// Which validator's key it votes with; none for an observer.
    pub validator: Option<usize>,
    /// Two machines vote with one key: neither is counted as honest.
    pub twin: bool,
    /// It lies about blocks.
    pub liar: bool,
    /// How far its clock is ahead, in milliseconds.
    pub skew_ms: i64,
}

impl MachinePlan {
    /// Whether everything that is promised holds for it.
    pub const fn is_honest(&self) -> bool {
        !self.twin && !self.liar
    }
}

/// Who submits records: each after the one before was acknowledged.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// To which machines each record is given.
    pub machines: Vec<Machine>,
    pub begins: Moment,
    pub records: usize,
    /// How long it waits before the next.
    pub pause: Duration,
}

/// A mistake in the machines, made on purpose: the properties must notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The engine's log is gone after a crash.
    ForgetLog,
    /// Votes are published before the log is safe.
    SkipFlush,
    /// The blocks that may be voted for are gone after a crash.
    ForgetBlocks,
    /// Records of other machines are taken in the order in which they come.
    TakeInAnyOrder,
}

/// A validator that joins while the ledger runs, and may leave again.
#[derive(Debug, Clone, Copy)]
pub struct Join {
    /// When it is proposed.
    pub begins: Moment,
    /// Whether it leaves again.
    pub leaves: bool,
}

/// Everything that a seed decides on beforehand.
#[derive(Debug, Clone)]
pub struct Plan {
    pub validators: usize,
    pub machines: Vec<MachinePlan>,
    pub quality: Quality,
    pub faults: Vec<(Moment, Fault)>,
    /// From here on nothing more goes wrong, but for twins and wrong clocks.
    pub calm: Moment,
    pub submitters: Vec<Submitter>,
    pub join: Option<Join>,
}

/// How long a machine that is far off lives in the past or future.
const FAR_OFF_MS: i64 = 2 * 60 * 60 * 1000;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let validators = *[1, 4, 4, 4, 4, 4, 5, 7].choose(&mut random).unwrap();
        let mut machines = machines(validators, &mut random);
        let joins = random.random_bool(0.3);
        if joins {
            let validator = Some(validators);
            machines.push(MachinePlan { validator, twin: false, liar: false, skew_ms: 0 });
        }
        let count = machines.len();
        let calm = Moment::from_ms(random.random_range(2_000..20_000));
        let mut faults: Vec<_> =
            (0..random.random_range(0..6)).flat_map(|_| fault(count, calm, &mut random)).collect();
        faults.sort_by_key(|(at, _)| *at);
        let honest: Vec<_> = (0..count).filter(|machine| machines[*machine].is_honest()).collect();
        let submitters = (0..random.random_range(1..=4))
            .map(|_| submitter(&honest, calm, &mut random))
            .collect();
        let join = joins.then(|| Join {
            begins: Moment(random.random_range(0..calm.0)),
            leaves: random.random_bool(0.5),
        });
        let quality = quality(&mut random);
        Self { validators, machines, quality, faults, calm, submitters, join }
    }
}

fn machines(validators: usize, random: &mut ChaCha8Rng) -> Vec<MachinePlan> {
    let small = |random: &mut ChaCha8Rng| random.random_range(-1_000..=1_000);
    let mut machines: Vec<_> = (0..validators)
        .map(|number| MachinePlan {
            validator: Some(number),
            twin: false,
            liar: false,
            skew_ms: small(random),
        })
        .collect();
    // At most so many validators fail for good.
    let mut numbers: Vec<_> = (0..validators).collect();
    numbers.shuffle(random);
    numbers.truncate((validators - 1) / 3);
    for number in numbers {
        match random.random_range(0..5) {
            0 => {
                machines[number].twin = true;
                let twin = MachinePlan { skew_ms: small(random), ..machines[number] };
                machines.push(twin);
            }
            1 => machines[number].liar = true,
            2 => machines[number].skew_ms = *[-FAR_OFF_MS, FAR_OFF_MS].choose(random).unwrap(),
            _ => {}
        }
    }
    if random.random_bool(0.3) {
        machines.push(MachinePlan {
            validator: None,
            twin: false,
            liar: false,
            skew_ms: small(random),
        });
    }
    machines
}

fn quality(random: &mut ChaCha8Rng) -> Quality {
    Quality {
        delay: Duration::from_micros(*[200, 2_000, 25_000, 100_000].choose(random).unwrap()),
        jitter: Duration::from_millis(*[1, 10, 100, 500].choose(random).unwrap()),
        lost_permille: *[0, 0, 10, 50, 200].choose(random).unwrap(),
        doubled_permille: *[0, 0, 20, 200].choose(random).unwrap(),
        stalled_permille: *[0, 0, 5, 50].choose(random).unwrap(),
    }
}

/// One fault, or a crash of all at once.
fn fault(machines: usize, calm: Moment, random: &mut ChaCha8Rng) -> Vec<(Moment, Fault)> {
    let at = Moment(random.random_range(0..calm.0));
    let crash = |machine, random: &mut ChaCha8Rng| {
        let away = Duration::from_millis(random.random_range(1..5_000));
        (at, Fault::Crash { machine, after: random.random_range(0..40), away })
    };
    match random.random_range(0..8) {
        0 => (0..machines).map(|machine| crash(machine, random)).collect(),
        1..4 => {
            let machine = random.random_range(0..machines);
            vec![crash(machine, random)]
        }
        4 => {
            let alone = random.random_range(0..machines);
            let sides = (0..machines).map(|machine| u8::from(machine == alone)).collect();
            vec![(at, Fault::Partition { sides, lasts: lasts(random) })]
        }
        _ => {
            let sides = (0..machines).map(|_| random.random_range(0..2)).collect();
            vec![(at, Fault::Partition { sides, lasts: lasts(random) })]
        }
    }
}

fn lasts(random: &mut ChaCha8Rng) -> Duration {
    Duration::from_millis(random.random_range(100..8_000))
}

fn submitter(honest: &[Machine], calm: Moment, random: &mut ChaCha8Rng) -> Submitter {
    let everywhere = random.random_bool(0.2);
    let machines = if everywhere { honest.to_vec() } else { vec![*honest.choose(random).unwrap()] };
    Submitter {
        machines,
        begins: Moment(random.random_range(0..calm.0)),
        records: random.random_range(1..=12),
        pause: Duration::from_millis(*[0, 20, 300, 1_500].choose(random).unwrap()),
    }
}
