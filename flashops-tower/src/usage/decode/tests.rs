use std::io::Write;

use flashops_core::units::Tokens;
use flashops_core::usage::{Quality, Usage};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::super::fixtures::{CHAT, CHAT_STREAM, sse};
use super::super::{BodyKind, EncodedMeter, oracle};
use super::*;
use crate::inspect::WireFormat;

/// The chat stream of the fixtures by the reference encoder of brotli, flushed behind each event.
const BROTLI: &[u8] =
    b"\x8b+\x00\x00\x04\xc2v>\xa1\xeey\x10?i\x17\x84q\xd9nN9p\x080\x0b\xdb\xa20\xbc\xc9ac\xec\xec\x10jJ\x10Y\xe2(\
      \x96W\x5cEHq&\x157\x16\xd0\x8b\x9c\xf7\xae{\xf1>\xc9\x17\xdc\x11\xbaw\xc2G\x14C\xd4\x11H\x02\x00@\x02\xa9\x15\
      \x01f\x18c\x14\x06\x1e\xb6 \xd6H\xcd\x00\xc0\x02\x00@`\x22G\xda<\xc4\xc8\xbe\xc3\x06\x9c[\xccY \xab\xdd\x01\
      \x81\xa9\xd8\xd8<\x9d\xa4q\xf7\xb8\x01x\x02\x00@\x18\x03\x8e<\x1eh\x93\x89\x86\x89\x9c[n\x81\xb4\xa3\xbd1\xefK\
      \x01{D\xe4\xa6\x0d)%\x0e\xa6\x018\x04\x00@\xde\xb6\xef\x99nG5\x12zG\xa2\x84F\x91T/\xd4\xc99\x9c\xf1p\x0a(\x0b\
      \x93\xb649p\xd0\x19+\xc9\x0b\xd8\x0d\x18v?\xda\xd9\xcb\x9e\x9cn_,)\xb4X\xcb\xa6\xfe\x12I\xc9\x84\x1b\x1b\xfb0\
      \xd9C\xa6c\xee\xa9mh\xe7w\xcc\xee\x0e`\x00h\x00\x08data: [DONE]\x0a\x0a\x03";

/// The same by the reference encoder of zstd, flushed behind each event, with a checksum.
const ZSTD: &[u8] =
    b"(\xb5/\xfd\x04X\x5c\x02\x00\x82\xc5\x11\x17\x90\xa7-\x06\x0b\x94\xed\xa6\x22\x18aI\x13pU\x9dL\x85\xc8\xcd\x07\
      \x0f\x0e\x04\x91\x10\x8b\xac\x8f`Z<\x06)}\xbdy\x9b\x87<\xde\xb4U\xa3j\xd7\x87\xc70\xaam\xf1\xca#P\x1f\xae\xa4\
      \x19\x09j=bN\x81\x8c\x00ek%\x00\x84\x00\x00(Hello\x03\x10\x06\x0dU\x04\x0e[\x09\x04\xd4\x00\x00xd there, \x5c\
      \x5c\x22:{}\x03\x00\x5cPm1\xd8\x15\x81+\x14\x01\x00\xc8d},\x22finish_reason\x22:\x22stop\x22\x02\x00\xd8\x8d7<\
      @\x08\x94\x02\x00B\x84\x0f\x15\x90W\x07\x96%xU;o$3r\xd7\xe3t\xbd\xa2\xc6\xb2]\x07c\xcc9\x85`\xe9\xa0\x92\xb2<\
      \x8e\x8d\xa5\xebB\xc4\x94\x96\xbe71o\xd9\xb5A\xb7\xca\x04(\xc7\xf1)\xb1G\x87n\x0bh\xb9\x02\x06\x00\x9e*\x82W\
      \xd2\xd1\xd4q\x9d%\x8d\xda\xd6\x0c\x84p\x00\x00data: [DONE]\x0a\x0a\x01\x00\x00\xfb\xd6\x9eN";

/// The same in one block.
const ZSTD_WHOLE: &[u8] =
    b"(\xb5/\xfd`\xe1\x00\xdd\x05\x00\x22\x0c$\x19`\xaf\x0ex5}\x01}\x95?\xc9^@Y\xca\x84f\xb7)\x09\x83-0\xca\x09\x00\
      \xe0 \xcar0\xf7\x16Cd\x09>;\xe5k\x8eO3\xe6\xeb\xdao\x06\xad\xb2y\xc27\x81p\xb7\x94\xa7\xdaOWT\xb5\xaag\xafj\
      \xdb\xbb\xd3j\x1f[\x8fd%\x95\xd0\xdb\xbd\x99{\xd3\x04\x8d-\x96:\xa8sr\x02\x00w\xce\x8b\xbas\xf4\xec\xf5\xe6\
      \xdc\xfb\xbb7\xe5\xa6\x15\xbe\xbd\xe9k+\xad}w\xe7Y\xadg\xee\xaf'\xc77\xc1\x1d\xe3H\xe53\xc6\xdd2\x94U\x82\xcf\
      \x02\xf7\xfa\xc5\x0e \x10\xc6\xa8>\x8b\x0ayV\xfa\xde\xc5\xbd\x12\xaf \xd7kE\x05\xda\xdc\x00'\xe48\xf7<&&\xa5\
      \x89\x1e\x19\x1bv{\xc6\x19";

/// 256 MiB of zeros by the reference encoder of brotli.
const BROTLI_BOMB: &[u8] =
    b"\xcb\xff\xff?\x00$\x00\xe2\xb1@r\xef\xff\xf8\xff\xff\x07\x80\x04@\x1c\x16\x80\xee\xfd\x1f\xff\xff\xff\x00\x90\
      \x00\x88\xc3\x02\xd0\xbd\xff\xe3\xff\xff\x1f\x00\x12\x00qX\x00\xba\xf7\x7f\xfc\xff\xff\x03@\x02 \x0e\x0b@\xf7\
      \xfe\x8f\xff\xff\x7f\x00H\x00\xc4a\x01\xe8\xde\xff\xf1\xff\xff\x0f\x00\x09\x808,\x00\xdd\xfb?\xfe\xff\xff\x01 \
      \x01\x10\x87\x05\xa0{\xff\xc7\xff\xff?\x00$\x00\xe2\xb0\x00t\xef\xff\xf8\xff\xff\x07\x80\x04@\x1c\x16\x80\xee\
      \xfd\x1f\xff\xff\xff\x00\x90\x00\x88\xc3\x02\xd0\xbd\xff\xe3\xff\xff\x1f\x00\x12\x00qX\x00\xba\xf7\x7f\xfc\xff\
      \xff\x03@\x02 \x0e\x0b@\xf7\xfe\x8f\xff\xff\x7f\x00H\x00\xc4a\x01\xe8\xde\xff\xf1\xff\xff\x0f\x00\x09\x808,\
      \x00\xdd\xfb?\xfe\xff\xff\x01 \x01\x10\x87\x05\xa0{\xff\xc7\xff\xff?\x00$\x00\xe2\xb0\x00t\xef\xff\xf8\xff\xff\
      \x07\x80\x04@\x1c\x16\x80\xee\xfd\x1f\xff\xff\xff\x00\x90\x00\x88\xc3\x02\xd0\xbd\xff\xe3\xff\xff\x1f\x00\x12\
      \x00qX\x00\xba\xf7\x7f\xfc\xff\xff\x03@\x02 \x0e\x0b@\xf7\xfe\x8f\xff\xff\x7f\x00H\x00\xc4a\x01\xe8\xde\xff\
      \xf1\xff\xff\x0f\x00\x09\x808,\x00\xdd\xfb?\xfe\xff\xff\x01 \x01\x10\x87\x05\xa0{\xff\xc7\xff\xff?\x00$\x00\
      \xe2\xb0\x00t\xef\xff\xf8\xff\xff\x07\x80\x04@\x1c\x16\x80\xee\xfd\x1f\xff\xff\xff\x00\x90\x00\x88\xc3\x02\xd0\
      \xbd\xff\xe3\xff\xff\x1f\x00\x12\x00qX\x00\xba\xf7\x7f\xfc\xff\xff\x03@\x02 \x0e\x0b@\xf7\xfe\x8f\xff\xff\x7f\
      \x00H\x00\xc4a\x01\xe8\xde\xff\xf1\xff\xff\x0f\x00\x09\x808,\x00\xdd\xfb?\xfe\xff\xff\x01 \x01\x10\x87\x05\xa0\
      {\xff7";

/// The chat stream in every coding that is read.
fn coded_streams() -> Vec<(ContentCoding, Vec<u8>)> {
    let text = sse(CHAT_STREAM);
    // Flushed behind each event, as a provider that streams does it.
    macro_rules! flushed {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::default());
            for event in text.split_inclusive(|&byte| byte == b'\n') {
                encoder.write_all(event).unwrap();
                encoder.flush().unwrap();
            }
            encoder.finish().unwrap()
        }};
    }
    vec![
        (ContentCoding::Gzip, flushed!(GzEncoder)),
        (ContentCoding::Deflate, flushed!(ZlibEncoder)),
        (ContentCoding::Deflate, flushed!(DeflateEncoder)),
        (ContentCoding::Brotli, BROTLI.to_vec()),
        (ContentCoding::Zstd, ZSTD.to_vec()),
        (ContentCoding::Zstd, ZSTD_WHOLE.to_vec()),
    ]
}

fn read(coding: ContentCoding, kind: BodyKind, chunks: &[&[u8]]) -> EncodedMeter {
    let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, kind, coding);
    chunks.iter().for_each(|chunk| meter.push(chunk));
    meter.finish();
    meter
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn usage_is_read_exactly_through_every_coding() {
    for (coding, body) in coded_streams() {
        let meter = read(coding, BodyKind::Sse, &[&body]);
        let usage = meter.meter().usage();
        assert_eq!((usage.input.get(), usage.cache_read.get(), usage.output.get()), (4, 16, 7), "{coding:?}");
        assert_eq!(usage.quality, Quality::Exact, "{coding:?}");
        assert!(meter.meter().ended(), "{coding:?}");
        assert_eq!(meter.meter().counted_output().get(), 6, "{coding:?}");
    }
    let meter = read(ContentCoding::Gzip, BodyKind::Json, &[&gzip(CHAT.as_bytes())]);
    assert_eq!((meter.meter().usage().total().get(), meter.meter().ended()), (1163, true));
}

#[test]
fn a_flushed_event_is_counted_when_it_comes() {
    for (coding, body) in coded_streams() {
        if coding == ContentCoding::Zstd {
            continue;
        }
        let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, BodyKind::Sse, coding);
        let cut = body.len() * 9 / 10;
        meter.push(&body[..cut]);
        assert!(meter.meter().counted_output().get() > 0, "{coding:?}");
    }
}

#[test]
fn what_a_cut_zstd_stream_has_kept_is_counted_in_the_end() {
    let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, BodyKind::Sse, ContentCoding::Zstd);
    meter.push(&ZSTD[..ZSTD.len() * 9 / 10]);
    assert_eq!(meter.meter().counted_output(), Tokens::ZERO);
    meter.finish();
    assert_eq!(meter.meter().counted_output().get(), 6);
    assert!(!meter.meter().ended());
}

/// A zstd stream of blocks that are one byte, repeated.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    // One window of 128 KiB, then blocks of 128 KiB that stand in four bytes each.
    let header = [0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3];
    let block = ((128_u32 << 10) << 3 | 1 << 1).to_le_bytes();
    let block = [block[0], block[1], block[2], b'x'];
    [&header[..], &block.repeat(blocks)].concat()
}

#[test]
fn a_bomb_is_given_up_at_the_bound_and_charged_by_its_bytes() {
    let zeros = vec![0; 65 << 20];
    let bombs = [
        (ContentCoding::Gzip, gzip(&zeros)),
        (ContentCoding::Brotli, BROTLI_BOMB.to_vec()),
        (ContentCoding::Zstd, zstd_bomb(520)),
    ];
    for (coding, bomb) in bombs {
        let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, BodyKind::Json, coding);
        meter.push(&bomb);
        let before = meter.meter().counted_output().get();
        assert!(before <= MAX_DECODED.div_ceil(4) + bomb.len() as u64, "{coding:?}: {before}");
        meter.push(&[0; 400]);
        assert_eq!(meter.meter().counted_output().get(), before + 100, "{coding:?}");
        meter.finish();
        assert_eq!(meter.meter().usage(), Usage::absent(), "{coding:?}");
    }
}

#[test]
fn a_window_above_the_bound_is_refused_before_there_is_memory_for_it() {
    // A window of 16 MiB, and a block that would be read.
    let mut body = zstd_bomb(1);
    body[5] = 14 << 3;
    let mut meter = EncodedMeter::new(WireFormat::OpenAiChat, BodyKind::Sse, ContentCoding::Zstd);
    meter.push(&body);
    assert_eq!(meter.meter().counted_output().get(), (body.len() as u64).div_ceil(4));
}

#[test]
fn what_is_none_of_the_coding_counts_with_its_bytes() {
    for coding in [ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd] {
        let meter = read(coding, BodyKind::Sse, &[&[0xFF; 400], &[0; 400]]);
        assert!(meter.meter().counted_output().get() >= 100, "{coding:?}");
        assert_eq!(meter.meter().usage(), Usage::absent(), "{coding:?}");
    }
}

#[test]
fn what_follows_the_coded_body_is_ignored() {
    for (coding, body) in coded_streams() {
        let whole = read(coding, BodyKind::Sse, &[&body]);
        let meter = read(coding, BodyKind::Sse, &[&body, b"\0\0\0\0"]);
        if coding != ContentCoding::Zstd {
            assert_eq!(meter.meter().counted_output(), whole.meter().counted_output(), "{coding:?}");
        }
        assert_eq!(meter.meter().usage(), whole.meter().usage(), "{coding:?}");
    }
}

#[test]
fn frames_that_mean_nothing_are_passed_over_and_the_next_frame_is_read() {
    let body = [b"\x5A\x2A\x4D\x18\x03\0\0\0abc", ZSTD, ZSTD_WHOLE].concat();
    let meter = read(ContentCoding::Zstd, BodyKind::Sse, &[&body]);
    assert_eq!(meter.meter().usage().quality, Quality::Exact);
    assert_eq!(meter.meter().counted_output().get(), 12, "46 bytes of text in 4 deltas");
}

#[test]
fn a_coding_has_its_names() {
    for (name, coding) in [
        ("gzip", Some(ContentCoding::Gzip)),
        (" GZIP ", Some(ContentCoding::Gzip)),
        ("br", Some(ContentCoding::Brotli)),
        ("identity", Some(ContentCoding::Identity)),
        ("compress", None),
        ("gzip, br", None),
    ] {
        assert_eq!(ContentCoding::of(name), coding, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn any_split_of_a_coded_stream_gives_the_same_usage(
        which in 0..6_usize, cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        lost in any::<prop::sample::Index>(), whole in any::<bool>(),
    ) {
        let (coding, body) = coded_streams().swap_remove(which);
        let body = if whole { &body[..] } else { &body[..lost.index(body.len())] };
        let one = read(coding, BodyKind::Sse, &[body]);
        let many = read(coding, BodyKind::Sse, &oracle::split(body, &cuts));
        prop_assert_eq!(many.meter().usage(), one.meter().usage());
        prop_assert_eq!(many.meter().counted_output(), one.meter().counted_output());
        prop_assert_eq!(many.meter().ended(), one.meter().ended());
    }

    #[test]
    fn any_bytes_are_survived_in_every_coding(
        which in 0..6_usize, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..40), replaced in 0..20_usize,
    ) {
        let (coding, body) = coded_streams().swap_remove(which);
        let at = at.index(body.len());
        let rest = (at + replaced).min(body.len());
        let body = [&body[..at], &bytes, &body[rest..]].concat();
        for kind in [BodyKind::Sse, BodyKind::Json] {
            read(coding, kind, &oracle::split(&body, &[cut]));
        }
    }
}
