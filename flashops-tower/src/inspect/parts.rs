//! Media and references inside the messages of a request.

use super::media::Naming;
use crate::json::{Cursor, Fault, Text};

const KEYS: [&str; 10] =
    ["type", "data", "url", "image_url", "document_url", "file_id", "file_url", "audio", "input", "source"];

/// What is in the messages besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Images, sounds, documents.
    pub(super) media: u64,
    /// Bytes of images and sounds that are in the body itself: they are no text.
    pub(super) media_bytes: u64,
    /// Things that the provider keeps and the request only names.
    pub(super) references: u64,
    pub(super) naming: Naming,
}

/// What was found in a value and belongs to the nearest object around it that says what it is.
#[derive(Clone, Copy, Debug, Default)]
struct Loose {
    bytes: u64,
    /// Addresses that the provider fetches.
    fetched: u64,
    references: u64,
}

/// The bytes of sound that can be one token: base64 of 8 kilobits a second, for models that count up to 80 tokens in
/// that time.
const SOUND_BYTES_PER_TOKEN: u64 = 16;

/// The `type` of an object, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    #[default]
    Plain,
    /// A part whose tokens have nothing to do with its bytes.
    Image,
    /// A part whose tokens grow with its bytes, and much slower.
    Sound,
    /// A part that can be text as well, so that its bytes stay counted.
    Document,
    Reference,
}

impl Parts {
    /// Reads a value with messages in it: a string, a list, or one object.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let loose = self.value(cursor)?;
        self.references += loose.references;
        Ok(())
    }

    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<Loose, Fault> {
        match cursor.peek()? {
            b'{' => self.object(cursor),
            b'[' => {
                let mut all = Loose::default();
                cursor.array::<Fault>(|cursor| {
                    all.add(self.value(cursor)?);
                    Ok(())
                })?;
                Ok(all)
            }
            _ => cursor.skip().map(|()| Loose::default()),
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>) -> Result<Loose, Fault> {
        let (kind, loose) = self.members(cursor)?;
        Ok(self.settle(kind, loose))
    }

    fn members(&mut self, cursor: &mut Cursor<'_>) -> Result<(Kind, Loose), Fault> {
        let (mut kind, mut loose) = (Kind::Plain, Loose::default());
        cursor.object::<Fault>(|cursor, key| {
            if self.naming != Naming::Typed && self.named(cursor, key)? {
                return Ok(());
            }
            let is_string = cursor.peek()? == b'"';
            match key.among(&KEYS) {
                b"type" if is_string => kind = kind.max(Kind::of(cursor.string()?)),
                b"data" if is_string => loose.bytes += cursor.string()?.raw().len() as u64,
                b"url" | b"image_url" | b"document_url" if is_string => {
                    let url = cursor.string()?;
                    loose.bytes += image_bytes(url);
                    loose.fetched += u64::from(!url.raw().starts_with(b"data:"));
                }
                b"file_id" | b"file_url" if is_string => {
                    loose.references += 1;
                    cursor.skip()?;
                }
                b"audio" if !is_string && cursor.peek()? == b'{' => {
                    loose.references += 1;
                    cursor.skip()?;
                }
                // The type of a source says how the part around it is sent, and makes no part of its own.
                b"source" if cursor.peek()? == b'{' => loose.add(self.members(cursor)?.1),
                // The arguments of a tool call can have any shape, and all of it is text.
                b"input" => cursor.skip()?,
                _ => loose.add(self.value(cursor)?),
            }
            Ok(())
        })?;
        Ok((kind, loose))
    }

    fn settle(&mut self, kind: Kind, loose: Loose) -> Loose {
        match kind {
            Kind::Plain => return loose,
            Kind::Document => self.add(kind, loose.bytes, loose.references + loose.fetched),
            Kind::Image | Kind::Sound | Kind::Reference => self.add(kind, loose.bytes, loose.references),
        }
        Loose::default()
    }

    /// Adds a part of so many bytes, for which the provider turns to so many things that it keeps or fetches.
    pub(super) const fn add(&mut self, kind: Kind, bytes: u64, kept: u64) {
        match kind {
            Kind::Plain => {}
            Kind::Image => {
                self.media += 1;
                self.media_bytes += bytes;
            }
            Kind::Sound => {
                self.media += 1;
                self.media_bytes += bytes - bytes.div_ceil(SOUND_BYTES_PER_TOKEN);
            }
            Kind::Document => {
                self.media += 1;
                self.references += kept;
            }
            Kind::Reference => self.references += 1 + kept,
        }
    }
}

impl Loose {
    const fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.fetched += other.fetched;
        self.references += other.references;
    }
}

impl Kind {
    fn of(name: Text<'_>) -> Self {
        const IMAGES: [&str; 4] = ["image", "image_url", "input_image", "computer_screenshot"];
        const DOCUMENTS: [&str; 8] = [
            "document",
            "document_url",
            "file",
            "input_file",
            "video_url",
            "audio_url",
            "input_video",
            "container_upload",
        ];
        let is = |names: &[&str]| names.iter().any(|other| name.is(other));
        match () {
            () if is(&["text"]) => Self::Plain,
            () if is(&IMAGES) => Self::Image,
            () if is(&["input_audio"]) => Self::Sound,
            () if is(&DOCUMENTS) => Self::Document,
            () if is(&["item_reference"]) => Self::Reference,
            () => Self::Plain,
        }
    }

    /// The kind of a part with this media type.
    pub(super) fn of_media_type(name: Text<'_>) -> Self {
        match name.raw() {
            name if name.starts_with(b"image/") => Self::Image,
            name if name.starts_with(b"audio/") => Self::Sound,
            _ => Self::Document,
        }
    }
}

/// The bytes of an image that is written into its address.
fn image_bytes(url: Text<'_>) -> u64 {
    match url.raw().starts_with(b"data:image/") {
        true => url.raw().len() as u64,
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(messages: &str) -> (u64, u64, u64) {
        let mut parts = Parts::default();
        parts.read(&mut Cursor::new(messages.as_bytes())).unwrap();
        (parts.media, parts.media_bytes, parts.references)
    }

    #[test]
    fn images_count_as_parts_and_not_as_text() {
        let cases = [
            (
                r#"[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]"#,
                (1, 26, 0),
            ),
            (r#"[{"content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]"#, (1, 26, 0)),
            (r#"[{"content":[{"image_url":{"url":"https://a.b/c.png"},"type":"image_url"}]}]"#, (1, 0, 0)),
            // Of a sound, a sixteenth of its bytes stays text.
            (r#"[{"content":[{"type":"input_audio","input_audio":{"data":"AAAAAAAAAAAAAAAAA"}}]}]"#, (1, 15, 0)),
            (
                r#"[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAA"}}]}]"#,
                (1, 6, 0),
            ),
            (
                r#"[{"content":[{"type":"tool_result","content":[{"type":"image","source":{"data":"AA"}}]}]}]"#,
                (1, 2, 0),
            ),
        ];
        for (messages, expected) in cases {
            assert_eq!(parts(messages), expected, "{messages}");
        }
    }

    #[test]
    fn text_that_pretends_to_be_an_image_stays_text() {
        for messages in [
            r#"[{"content":[{"type":"document","source":{"type":"text","data":"long text"}}]}]"#,
            r#"[{"type":"image","content":[{"type":"document","source":{"type":"text","data":"long text"}}]}]"#,
            r#"[{"content":[{"type":"image","type":"document","source":{"type":"text","data":"long text"}}]}]"#,
            r#"[{"content":[{"type":"tool_use","input":{"type":"image","data":"long text"}}]}]"#,
            r#"[{"content":[{"type":"text","data":"long text"}]}]"#,
            r#"[{"content":[{"type":"image_url","image_url":{"url":"text:long text"}}]}]"#,
        ] {
            assert_eq!(parts(messages).1, 0, "{messages}");
        }
    }

    #[test]
    fn what_the_provider_keeps_is_a_reference() {
        let cases = [
            (r#"[{"content":[{"type":"input_file","file_id":"file-1"}]}]"#, (1, 0, 1)),
            (r#"[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]"#, (1, 0, 1)),
            (r#"[{"content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]"#, (1, 0, 1)),
            (r#"[{"content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]"#, (1, 0, 0)),
            (r#"[{"content":[{"type":"document_url","document_url":"https://a.b/c.pdf"}]}]"#, (1, 0, 1)),
            (r#"[{"type":"item_reference","id":"msg_1"}]"#, (0, 0, 1)),
            (r#"[{"role":"assistant","audio":{"id":"audio_1"}}]"#, (0, 0, 1)),
            (r#"[{"content":[{"type":"input_image","file_id":"file-1"}]}]"#, (1, 0, 0)),
            (r#""just text""#, (0, 0, 0)),
        ];
        for (messages, expected) in cases {
            assert_eq!(parts(messages), expected, "{messages}");
        }
    }
}
