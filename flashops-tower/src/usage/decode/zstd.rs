//! zstd, block by block.
//!
//! The decoder behind it decodes all blocks that it is given at once, so it is given one at a time: at most 128 KiB
//! come out of one. It keeps the window of a frame until the frame has ended, so a meter sees text late.

use std::io::{self, Read, Write};

use ruzstd::decoding::FrameDecoder;

use super::{MAX_WINDOW, Target};

const MAGIC: u32 = 0xFD2F_B528;

/// The first magic number of frames that are to be passed over; the last four bits can be any.
const SKIPPABLE: u32 = 0x184D_2A50;

/// The most bytes of one block.
const MAX_BLOCK: usize = 128 << 10;

/// How much is handed on at a time.
const BUFFER: usize = 4_096;

/// The header of an empty block that is the last one.
const LAST_BLOCK: [u8; 3] = [1, 0, 0];

pub(super) struct ZstdDecoder {
    frames: FrameDecoder,
    pub(super) target: Target,
    /// An unfinished header or block.
    kept: Vec<u8>,
    place: Place,
    has_checksum: bool,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Frame,
    Block,
    /// So many bytes that mean nothing here.
    Skip(usize),
}

impl ZstdDecoder {
    pub(super) fn new(target: Target) -> Self {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(MAX_WINDOW);
        Self { frames, target, kept: Vec::new(), place: Place::Frame, has_checksum: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut kept = std::mem::take(&mut self.kept);
        kept.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let used = self.step(&kept[at..])?;
            at += used;
            if used == 0 {
                break;
            }
        }
        kept.drain(..at);
        self.kept = kept;
        Ok(())
    }

    /// Lets out what the window of an unfinished frame has kept.
    pub(super) fn finish(&mut self) {
        if self.place == Place::Block {
            // A stream that was cut has still said what it has said.
            let _ = self.block(&LAST_BLOCK);
        }
    }

    /// Reads one header or block; gives how many bytes it had, or zero if it is not there yet.
    fn step(&mut self, input: &[u8]) -> io::Result<usize> {
        match self.place {
            Place::Skip(rest) => {
                let skipped = rest.min(input.len());
                self.place = if skipped == rest { Place::Frame } else { Place::Skip(rest - skipped) };
                Ok(skipped)
            }
            Place::Frame => self.frame(input),
            Place::Block => {
                let Some(&[a, b, c]) = input.first_chunk::<3>() else {
                    return Ok(0);
                };
                let header = u32::from_le_bytes([a, b, c, 0]);
                let size = (header >> 3) as usize;
                // One byte stands for a block that repeats it.
                let length = 3 + if header >> 1 & 3 == 1 { 1 } else { size };
                if size > MAX_BLOCK {
                    return Err(invalid());
                }
                let Some(block) = input.get(..length) else {
                    return Ok(0);
                };
                self.block(block)?;
                if header & 1 == 1 {
                    self.place = if self.has_checksum { Place::Skip(4) } else { Place::Frame };
                }
                Ok(length)
            }
        }
    }

    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        let (used, _) = self.frames.decode_from_to(block, &mut []).map_err(|_| invalid())?;
        if used != block.len() {
            return Err(invalid());
        }
        let mut buffer = [0; BUFFER];
        loop {
            match self.frames.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.target.write_all(&buffer[..read])?,
            }
        }
    }

    fn frame(&mut self, input: &[u8]) -> io::Result<usize> {
        let Some(&magic) = input.first_chunk::<4>() else {
            return Ok(0);
        };
        let magic = u32::from_le_bytes(magic);
        if magic & !0xF == SKIPPABLE {
            let Some(&length) = input.get(4..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(0);
            };
            let length = u32::from_le_bytes(length) as usize;
            self.place = if length == 0 { Place::Frame } else { Place::Skip(length) };
            return Ok(8);
        }
        if magic != MAGIC {
            return Err(invalid());
        }
        let Some(length) = input.get(4).map(|&descriptor| header_length(descriptor)) else {
            return Ok(0);
        };
        let Some(header) = input.get(..length) else {
            return Ok(0);
        };
        self.frames.init(header).map_err(|_| invalid())?;
        self.has_checksum = header[4] & 4 != 0;
        self.place = Place::Block;
        Ok(length)
    }
}

/// The length of a frame's header, by the byte behind its magic number.
const fn header_length(descriptor: u8) -> usize {
    let is_single = descriptor >> 5 & 1;
    let window = if is_single == 1 { 0 } else { 1 };
    let dictionary = match descriptor & 3 {
        3 => 4,
        bytes => bytes as usize,
    };
    let content = match descriptor >> 6 {
        0 => is_single as usize,
        bits => 1 << bits,
    };
    5 + window + dictionary + content
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
