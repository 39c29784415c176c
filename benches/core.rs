//! The rows of the table that the core alone decides, with governor and limitador in the same run.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

mod child;

use std::time::Instant;

use flashops_benches::accuracy::{self, Traffic};
use flashops_benches::keys::Keys;
use flashops_benches::measure::{Contestant, Figures, race};
use flashops_benches::ours::{self, Callers, Case, Limiter, Purse};
use flashops_benches::peers::{self, Governor, Limitador};
use flashops_benches::process;
use flashops_benches::table::{Options, Row, Target, verdict};
use flashops_core::clock::{Clock, CoarseClock, SystemClock};
use flashops_core::limit::Algorithm;

const COARSE: &str = "ours, coarse clock";
const SYSTEM: &str = "ours, system clock";
const GOVERNOR: &str = "governor keyed (quanta clock)";
const LIMITADOR: &str = "limitador (system clock)";
const LIMITADOR_ONE: &str = "limitador, one context for both";

fn main() {
    if let Some(words) = process::child_words() {
        return child::run(&words);
    }
    let bench = Bench { options: Options::of_this_process(), missed: Vec::new() };
    bench.run();
}

struct Bench {
    options: Options,
    missed: Vec<String>,
}

impl Bench {
    fn run(mut self) {
        println!("Medians, nanoseconds an operation, one thread / two threads.\n");
        let many = Keys::new(if self.options.smoke { 1_000 } else { 100_000 });
        let one = Keys::new(1);
        self.admitted("check, 100k keys uniform", &many, Target::Ratio { one: 0.65, two: 0.65 });
        self.admitted("check, one hot key", &one, Target::Ratio { one: 0.6, two: 1.0 });
        self.refused("refused check, one hot key", &one, Target::Ratio { one: 0.5, two: 0.5 });
        self.reserve_one("reserve and settle, one scope, one limit", &many);
        let [three, five] = [(Case::User, 350.0), (Case::Fleet, 1_000.0)];
        self.reserve("reserve and settle, requests, tokens and cost", &many, three);
        self.reserve("reserve and settle, three scopes, five limits", &many, five);
        let few = Keys::new(1_000);
        self.reserve("reserve and settle, requests, tokens and cost, 1,000 keys", &few, three);
        self.reserve("reserve and settle, three scopes, five limits, 1,000 keys", &few, five);
        self.accuracy();
        if !self.options.smoke {
            self.first_sight();
            self.memory();
        }
        println!("{}", if self.missed.is_empty() { "All targets are met." } else { "Missed:" });
        self.missed.iter().for_each(|row| println!("    {row}"));
    }

    fn row(&mut self, name: &str, target: Target, contestants: &[Contestant<'_>], ours: usize) {
        let figures = race(contestants, &self.options.plan);
        let named = contestants.iter().map(Contestant::name).zip(figures);
        let (ours, peers) = named.enumerate().partition::<Vec<_>, _>(|(index, _)| *index < ours);
        let strip = |figures: Vec<(usize, (&'static str, Figures))>| figures.into_iter().map(|(_, it)| it).collect();
        let row = Row::new(name, target, strip(ours), strip(peers));
        println!("{row}");
        if !row.is_met() {
            self.missed.push(name.to_owned());
        }
    }

    /// Shows every key to all sides, again and again for longer than a bucket of a minute, so that what an account
    /// allocates when it has lived that long is there.
    fn warm(&self, keys: &Keys, mut see: impl FnMut(usize, &String)) {
        let start = Instant::now();
        loop {
            keys.iter().enumerate().for_each(|(place, text)| see(place, text));
            if self.options.smoke || start.elapsed() > 2 * ours::BUCKET {
                return;
            }
        }
    }

    fn admitted(&mut self, name: &str, keys: &Keys, target: Target) {
        if !self.options.wants(name) {
            return;
        }
        let (coarse, system) = (ours::admitting(CoarseClock::new()), ours::admitting(SystemClock));
        let governor = peers::admitting();
        self.warm(keys, |_, text| {
            assert!(ours::check(&coarse, text) && ours::check(&system, text) && governor.check_key(text).is_ok());
        });
        let all = [
            check(COARSE, keys, &coarse, true),
            check(SYSTEM, keys, &system, true),
            check_governor(keys, &governor, true),
        ];
        self.row(name, target, &all, 2);
    }

    fn refused(&mut self, name: &str, keys: &Keys, target: Target) {
        if !self.options.wants(name) {
            return;
        }
        let (coarse, system) = (ours::refusing(CoarseClock::new()), ours::refusing(SystemClock));
        let governor = peers::refusing();
        for text in keys.iter() {
            while ours::check(&coarse, text) {}
            while ours::check(&system, text) {}
            while governor.check_key(text).is_ok() {}
        }
        let all = [
            check(COARSE, keys, &coarse, false),
            check(SYSTEM, keys, &system, false),
            check_governor(keys, &governor, false),
        ];
        self.row(name, target, &all, 2);
    }

    fn reserve_one(&mut self, name: &str, keys: &Keys) {
        if !self.options.wants(name) {
            return;
        }
        let (coarse, system) = (Purse::new(Case::Tokens, CoarseClock::new()), Purse::new(Case::Tokens, SystemClock));
        let (limitador, callers) = (Limitador::new(), Case::Tokens.callers());
        let callers = &callers;
        self.warm(keys, |place, text| {
            coarse.reserve_and_settle(&callers.scopes(text, place));
            system.reserve_and_settle(&callers.scopes(text, place));
            limitador.reserve_and_commit(text, 1);
        });
        let limitador = &limitador;
        let commit = |name, contexts| {
            Contestant::new(name, move |worker, operations| {
                keys.draw(worker, operations, |_, text| limitador.reserve_and_commit(text, contexts));
            })
            .with_warm_up(keys.len())
        };
        let all = [
            settle(COARSE, keys, &coarse, callers),
            settle(SYSTEM, keys, &system, callers),
            commit(LIMITADOR, 2),
            commit(LIMITADOR_ONE, 1),
        ];
        self.row(name, Target::Ratio { one: 0.02, two: 0.02 }, &all, 2);
    }

    fn reserve(&mut self, name: &str, keys: &Keys, (case, most): (Case, f64)) {
        if !self.options.wants(name) {
            return;
        }
        let (coarse, system) = (Purse::new(case, CoarseClock::new()), Purse::new(case, SystemClock));
        let callers = case.callers();
        self.warm(keys, |place, text| {
            coarse.reserve_and_settle(&callers.scopes(text, place));
            system.reserve_and_settle(&callers.scopes(text, place));
        });
        let all = [settle(COARSE, keys, &coarse, &callers), settle(SYSTEM, keys, &system, &callers)];
        self.row(name, Target::Nanos(most), &all, 2);
    }

    fn first_sight(&mut self) {
        let name = "first sight of a key, a million keys";
        if !self.options.wants("first sight") {
            return;
        }
        let runs = if self.options.full { 3 } else { 1 };
        let mut times = [child::COARSE, child::SYSTEM, child::GOVERNOR].map(|side| (side, Figures::default()));
        for _ in 0..runs {
            for (side, figures) in &mut times {
                figures.one.0.push(process::child(&[child::FIRST_SIGHT, side, "1"])[0]);
                figures.two.0.push(process::child(&[child::FIRST_SIGHT, side, "2"])[0]);
            }
        }
        let [(_, coarse), (_, system), (_, governor)] = times;
        let row = Row::new(
            name,
            Target::Ratio { one: 0.8, two: 0.8 },
            vec![(COARSE, coarse), (SYSTEM, system)],
            vec![(GOVERNOR, governor)],
        );
        println!("{row}");
        self.judge(name, row.is_met());
        self.pauses(runs);
    }

    /// The longest operation, in processor time of its thread, so that what others do on the machine counts little; and
    /// as interrupts count still, the shortest of the runs' longest.
    fn pauses(&mut self, runs: usize) {
        let longest = |side: &str| {
            let all: Vec<_> = (0..runs).map(|_| process::child(&[child::PAUSES, side])).collect();
            [0, 1].map(|figure| all.iter().map(|one| one[figure] / 1e3).fold(f64::INFINITY, f64::min))
        };
        let ([cpu, wall], [peer_cpu, peer_wall]) = (longest(child::COARSE), longest(child::GOVERNOR));
        let name = "longest operation while a million keys come in, processor time";
        let beside = format!("(wall {wall:.1} µs); governor {peer_cpu:.1} µs (wall {peer_wall:.1} µs)");
        let met = verdict(name, cpu, "µs", 500.0, &beside);
        self.judge(name, met);
    }

    /// Of each window: the most in any minute, and what it admits as a share of an exact log.
    fn accuracy(&mut self) {
        if !self.options.wants("accuracy") {
            return;
        }
        let arrivals = if self.options.full { 400_000 } else { 20_000 };
        let requests = Traffic::REQUESTS.iter().flat_map(|traffic| [(50, traffic), (100, traffic)]);
        let tokens = Traffic::TOKENS.iter().map(|traffic| (100_000, traffic));
        println!("accuracy: the most in any window, what is admitted as a share of an exact log");
        println!("    {:<34}{:>16}{:>18}{:>18}", "", "ring (default)", "two counters", "gcra");
        for (limit, traffic) in requests.chain(tokens) {
            let verdicts = [Algorithm::Ring, Algorithm::Approximate, Algorithm::Gcra]
                .map(|algorithm| accuracy::judge(algorithm, limit, traffic, arrivals));
            let figures = verdicts.map(|it| format!("{:.2} × {:>6.1} %", it.most, 100.0 * it.share));
            println!("    {:<26}{limit:>8}{:>16}{:>18}{:>18}", traffic.name, figures[0], figures[1], figures[2]);
            let least = if limit <= 64 { 1.0 } else { 0.97 };
            let met = verdicts[0].most <= 1.0 && verdicts[0].share >= least;
            self.judge(&format!("accuracy, {limit}, {}", traffic.name), met);
        }
        println!();
    }

    fn memory(&mut self) {
        let per_key = |side: &str, fill: &str| process::child(&[child::MEMORY, side, fill])[0];
        if self.options.wants("memory") {
            let governor = format!(
                "(small limits, an exact log: {:.1} B; governor {:.1} B)",
                per_key(child::LOG, "1"),
                per_key(child::GOVERNOR, "1")
            );
            let name = "memory per key, one hit each";
            let met = verdict(name, per_key(child::COARSE, "1"), "B", 150.0, &governor);
            self.judge(name, met);
            let log = format!("(small limits, an exact log of 50: {:.1} B)", per_key(child::LOG, "50"));
            let name = "memory per key, all buckets filled";
            let met = verdict(name, per_key(child::COARSE, "42"), "B", 500.0, &log);
            self.judge(name, met);
        }
    }

    fn judge(&mut self, name: &str, met: bool) {
        if !met {
            self.missed.push(name.to_owned());
        }
    }
}

fn check<'a, C: Clock>(name: &'static str, keys: &'a Keys, limiter: &'a Limiter<C>, admitted: bool) -> Contestant<'a> {
    Contestant::new(name, move |worker, operations| {
        keys.draw(worker, operations, |_, text| assert_eq!(ours::check(limiter, text), admitted));
    })
    .with_warm_up(keys.len())
}

fn check_governor<'a>(keys: &'a Keys, limiter: &'a Governor, admitted: bool) -> Contestant<'a> {
    Contestant::new(GOVERNOR, move |worker, operations| {
        keys.draw(worker, operations, |_, text| assert_eq!(limiter.check_key(text).is_ok(), admitted));
    })
    .with_warm_up(keys.len())
}

fn settle<'a, C: Clock>(
    name: &'static str,
    keys: &'a Keys,
    purse: &'a Purse<C>,
    callers: &'a Callers,
) -> Contestant<'a> {
    Contestant::new(name, move |worker, operations| {
        keys.draw(worker, operations, |place, text| purse.reserve_and_settle(&callers.scopes(text, place)));
    })
    .with_warm_up(keys.len())
}
