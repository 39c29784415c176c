//! What usages cost, for scripts: one a line on standard input, one cost a line on standard output.
//!
//! ```sh
//! echo gpt-4o-mini standard 1795132800 1000 0 0 0 0 0 200 0 0 0 | cargo run --example cost
//! ```
//!
//! A line is a model, a tariff (`standard`, `batch`, `flex`, `priority`), a time in Unix seconds, the tokens of each
//! class in the order of `TokenClass::ALL`, and the number of searches. The answer is the cost in nano-dollars, or `-`
//! for a model without a price. With `--litellm FILE` prices are imported from LiteLLM's file;
//! what that changed or left out is told on standard error.

use std::error::Error;
use std::io::{BufRead, BufWriter, Write, stdin, stdout};

use flashops::core::clock::UnixSeconds;
use flashops::core::price::{Import, PriceBook, TokenClass};
use flashops::core::units::Tokens;
use flashops::core::usage::{ServiceTier, Usage};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let imported;
    let book = match &arguments[..] {
        [] => PriceBook::embedded(),
        [option, file] if option == "--litellm" => {
            let import = PriceBook::from_litellm(&std::fs::read_to_string(file)?, "2026-11-20".parse()?)?;
            tell(&import);
            imported = import.book;
            &imported
        }
        _ => return Err("usage: cost [--litellm FILE] < usages".into()),
    };
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lock().lines() {
        match cost(book, &line?)? {
            Some(cost) => writeln!(out, "{cost}")?,
            None => writeln!(out, "-")?,
        }
    }
    Ok(out.flush()?)
}

fn cost(book: &PriceBook, line: &str) -> Result<Option<u64>, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [model, tier, at, tokens @ .., searches] = &words[..] else {
        return Err(format!("a line is a model, a tariff, a time and ten numbers: {line}").into());
    };
    let tokens: Vec<Tokens> =
        tokens.iter().map(|n| Ok(Tokens::new(n.parse()?)?)).collect::<Result<_, Box<dyn Error>>>()?;
    let tokens: [Tokens; TokenClass::COUNT] =
        tokens.try_into().map_err(|_| format!("nine classes of tokens: {line}"))?;
    let [input, cache_read, cache_write_5m, cache_write_1h, audio_in, image_in, output, reasoning, audio_out] = tokens;
    let usage = Usage {
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        audio_in,
        image_in,
        output,
        reasoning,
        audio_out,
        searches: searches.parse()?,
        service_tier: ServiceTier::from_word(tier),
        ..Usage::exact()
    };
    Ok(book.price(model, UnixSeconds(at.parse()?)).map(|price| price.cost(&usage).get()))
}

fn tell(import: &Import) {
    let models = import.book.models().len();
    eprintln!("imported {models} models, skipped {}, rounded {}", import.skipped.len(), import.rounded.len());
    let ignored: usize = import.ignored.values().sum();
    eprintln!("ignored {} keys, {ignored} times", import.ignored.len());
}
