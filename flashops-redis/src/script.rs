//! The scripts: one for each command, each one atomic step on the server.
//!
//! A script is a few shared files and its own, put together here. A server knows it by the digest of its text, so
//! instances of two versions each run their own, side by side, on the same data.

use redis::Script;

const CELL: &str = include_str!("script/cell.lua");
const REST: &str = include_str!("script/rest.lua");
const ACCOUNT: &str = include_str!("script/account.lua");
const RECORD: &str = include_str!("script/record.lua");

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Admit,
    Beat,
    Charge,
    Extend,
    GiveBack,
    Reserve,
    Settle,
    Standings,
}

impl Name {
    const ALL: [Self; 8] = [
        Self::Admit,
        Self::Beat,
        Self::Charge,
        Self::Extend,
        Self::GiveBack,
        Self::Reserve,
        Self::Settle,
        Self::Standings,
    ];

    /// Whether doing it again changes nothing, so that a lost answer can be asked for again.
    pub(crate) const fn repeats(self) -> bool {
        !matches!(self, Self::Admit | Self::GiveBack)
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Admit => include_str!("script/admit.lua"),
            Self::Beat => include_str!("script/beat.lua"),
            Self::Charge => include_str!("script/charge.lua"),
            Self::Extend => include_str!("script/extend.lua"),
            Self::GiveBack => include_str!("script/give_back.lua"),
            Self::Reserve => include_str!("script/reserve.lua"),
            Self::Settle => include_str!("script/settle.lua"),
            Self::Standings => include_str!("script/standings.lua"),
        }
    }
}

/// All scripts, with their digests.
#[derive(Debug)]
pub(crate) struct Scripts {
    all: Vec<Whole>,
}

/// One script.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) digest: String,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let whole = |name: Name| {
            let text = [CELL, REST, ACCOUNT, RECORD, name.text()].concat();
            let digest = Script::new(&text).get_hash().to_owned();
            Whole { text, digest }
        };
        Self { all: Name::ALL.into_iter().map(whole).collect() }
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|whole| &*whole.text)
    }

    pub(crate) fn get(&self, name: Name) -> &Whole {
        &self.all[name as usize]
    }
}
