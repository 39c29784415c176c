//! The token classes that have a price.

use std::fmt;

use crate::units::Tokens;
use crate::usage::Usage;

/// One of the disjoint token classes of a [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenClass {
    /// Input text that was neither read from nor written to a cache.
    Input,
    /// Input read from the provider's cache.
    CacheRead,
    /// Input written to a cache that lives five minutes, or whose life is not reported.
    CacheWrite5m,
    /// Input written to a cache that lives one hour.
    CacheWrite1h,
    /// Input audio.
    AudioIn,
    /// Input images.
    ImageIn,
    /// Output text that the client sees.
    Output,
    /// Output spent on reasoning.
    Reasoning,
    /// Output audio.
    AudioOut,
}

impl TokenClass {
    /// How many classes there are.
    pub const COUNT: usize = 9;

    /// Every class: the input ones, then the output ones.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::AudioIn,
        Self::ImageIn,
        Self::Output,
        Self::Reasoning,
        Self::AudioOut,
    ];

    /// The word for it in price books, as in the fields of [`Usage`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioIn => "audio_in",
            Self::ImageIn => "image_in",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOut => "audio_out",
        }
    }

    /// Whether its tokens are part of [`Usage::total_input`]; otherwise they are part of [`Usage::total_output`].
    pub const fn is_input(self) -> bool {
        match self {
            Self::Input | Self::CacheRead | Self::CacheWrite5m | Self::CacheWrite1h | Self::AudioIn | Self::ImageIn => {
                true
            }
            Self::Output | Self::Reasoning | Self::AudioOut => false,
        }
    }

    /// How many tokens of this class a call used.
    pub const fn tokens(self, usage: &Usage) -> Tokens {
        match self {
            Self::Input => usage.input,
            Self::CacheRead => usage.cache_read,
            Self::CacheWrite5m => usage.cache_write_5m,
            Self::CacheWrite1h => usage.cache_write_1h,
            Self::AudioIn => usage.audio_in,
            Self::ImageIn => usage.image_in,
            Self::Output => usage.output,
            Self::Reasoning => usage.reasoning,
            Self::AudioOut => usage.audio_out,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for TokenClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
