//! The rows about allocations, in a program of its own: counting them would slow the peers.

use flashops_benches::keys::Keys;
use flashops_benches::ours::{Case, Purse};
use flashops_core::clock::ManualClock;
use flashops_tower::inspect::WireFormat;
use flashops_tower::usage::{BodyKind, Meter};

const PAIRS: u64 = 10_000;

/// A frame of Bedrock's with a piece of text, its checksums included.
const BEDROCK: &[u8] = b"\x00\x00\x00Q\x00\x00\x00\x10}\xe6)v\x0b:event-type\x07\x00\x01x\
    {\"contentBlockIndex\":0,\"delta\":{\"text\":\" words\"}}\xac\x02\xbbp";

fn main() {
    reservations();
    frames();
}

fn reservations() {
    let (keys, callers) = (Keys::new(100), Case::Fleet.callers());
    let purse = Purse::new(Case::Fleet, ManualClock::new());
    let all = || {
        for round in 0..PAIRS as usize {
            let place = round % keys.len();
            purse.reserve_and_settle(&callers.scopes(keys.text(place), place));
        }
    };
    all();
    let counted = allocation_counter::measure(all).count_total;
    let each = counted as f64 / PAIRS as f64;
    println!("reserve and settle, three scopes, five limits, accounts and book warm:");
    println!("    {each} allocations (target ≤ 1, the reservation itself)\n");
    assert!(each <= 1.0, "{counted} allocations in {PAIRS} reservations");
}

/// A frame that carries no usage, whole in its chunk or not, in each framing.
fn frames() {
    let sse = "data: {\"choices\":[{\"delta\":{\"content\":\" words\"}}],\"usage\":null}\n\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" words\"}]}}]}\r\n\r\n";
    let ollama = "{\"message\":{\"content\":\" words\"},\"done\":false}\n";
    for (name, format, kind, frame) in [
        ("OpenAI", WireFormat::OpenAiChat, BodyKind::Sse, sse.as_bytes()),
        ("Gemini", WireFormat::Gemini, BodyKind::Sse, gemini.as_bytes()),
        ("Ollama", WireFormat::Ollama, BodyKind::JsonLines, ollama.as_bytes()),
        ("Bedrock", WireFormat::BedrockConverse, BodyKind::AmazonEvents, BEDROCK),
    ] {
        for step in [frame.len(), 7] {
            let mut meter = Meter::new(format, kind);
            let mut all = || (0..PAIRS).for_each(|_| frame.chunks(step).for_each(|chunk| meter.push(chunk)));
            all();
            let counted = allocation_counter::measure(&mut all).count_total;
            println!("{name}, frames without usage in chunks of {step} bytes: {counted} allocations (target 0)");
            assert_eq!(counted, 0);
            assert_eq!(meter.counted_output().get(), 3 * PAIRS, "six bytes of text in each of twice as many");
        }
    }
}
