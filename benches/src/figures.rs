//! The figures of a bench, beside the machine's own rates.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    hint,
    path::Path,
    time::{Duration, Instant},
};

use crate::machine::Machine;

/// Collects what a bench measures and prints it with the machine's rates.
#[derive(Debug)]
pub struct Figures {
    machine: Machine,
    figures: RefCell<BTreeMap<String, Figure>>,
}

#[derive(Debug)]
struct Figure {
    /// What one iteration works on, such as the records of a block.
    items: u64,
    /// The time of one iteration, in seconds, of each sample.
    samples_s: Vec<f64>,
}

impl Figures {
    /// Measures the machine, and the disk under `folder`, first.
    ///
    /// # Errors
    /// `folder` cannot be written to.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        Ok(Self { machine: Machine::measure(folder)?, figures: RefCell::default() })
    }

    /// Does `work` so many times and gives how long that took. `work` is told
    /// which time it is; each time it works on `items` items.
    pub fn timed<T>(
        &self,
        name: &str,
        items: u64,
        iterations: u64,
        mut work: impl FnMut(u64) -> T,
    ) -> Duration {
        let start = Instant::now();
        for iteration in 0..iterations {
            hint::black_box(work(iteration));
        }
        let elapsed = start.elapsed();
        if iterations > 0 {
            let mut figures = self.figures.borrow_mut();
            let figure = figures
                .entry(name.to_owned())
                .or_insert_with(|| Figure { items, samples_s: Vec::new() });
            figure.samples_s.push(elapsed.as_secs_f64() / iterations as f64);
        }
        elapsed
    }

    /// Prints the median of each figure, as items per second, time for each
    /// item, and ratio to what the machine can verify.
    pub fn print(&self) {
        println!("{}", self.machine);
        println!("{:<40} {:>12} {:>14} {:>8}", "", "per second", "each", "ratio");
        for (name, figure) in self.figures.borrow().iter() {
            let each_s = figure.median_s() / figure.items.max(1) as f64;
            let per_s = 1.0 / each_s.max(f64::MIN_POSITIVE);
            println!(
                "{name:<40} {per_s:>12.0} {:>11.2} µs {:>8.3}",
                each_s * 1e6,
                self.machine.ratio(per_s)
            );
        }
        println!("ratio: per second ÷ (cores × strict verifications/s on one core)");
    }
}

impl Figure {
    fn median_s(&self) -> f64 {
        let mut samples = self.samples_s.clone();
        samples.sort_unstable_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn work_is_done_as_often_as_asked_and_the_median_kept() {
        let figures = Figures::new(&std::env::temp_dir()).unwrap();
        let mut done = 0;
        figures.timed("work", 10, 3, |iteration| {
            assert_eq!(iteration, done);
            done += 1;
        });
        figures.timed("work", 10, 0, |_| ());
        assert_eq!(done, 3);
        assert_eq!(
            figures.figures.borrow().get("work").map(|figure| figure.samples_s.len()),
            Some(1)
        );
        figures.print();
        let figure = Figure { items: 1, samples_s: vec![9.0, 1.0, 2.0] };
        assert!((figure.median_s() - 2.0).abs() < 1e-9);
    }
}
