//! How the formats without a `type` on each part say what a part is.

use super::WireFormat;
use super::parts::{Kind, Parts};
use crate::json::{Cursor, Fault, Text};

/// How a format names the parts of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Naming {
    /// By a member `type`.
    #[default]
    Typed,
    /// By the key, as Gemini does: `inlineData`, `fileData`.
    Gemini,
    /// By the key, as Bedrock does: `image`, `document`, `video`, `audio`.
    Bedrock,
    /// Images are a list of their own beside the text.
    Images,
}

/// What a part has in it.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    kind: Option<Kind>,
    bytes: u64,
    /// Addresses from which the provider takes the part.
    kept: u64,
}

impl Naming {
    pub(super) const fn of(format: WireFormat) -> Self {
        match format {
            WireFormat::Gemini => Self::Gemini,
            WireFormat::BedrockConverse => Self::Bedrock,
            WireFormat::Ollama | WireFormat::OllamaEmbed | WireFormat::CohereEmbed => Self::Images,
            _ => Self::Typed,
        }
    }
}

impl Parts {
    /// Reads a member that is a part of such a format; says whether it was one.
    pub(super) fn named(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<bool, Fault> {
        let first = cursor.peek()?;
        let is = |names: &[&str]| names.iter().any(|name| key.is(name));
        let kind = match (self.naming, first) {
            (Naming::Gemini, b'{') if is(&["inlineData", "inline_data", "fileData", "file_data"]) => Kind::Document,
            (Naming::Bedrock, b'{') if is(&["image"]) => Kind::Image,
            (Naming::Bedrock, b'{') if is(&["document", "video", "audio"]) => Kind::Document,
            (Naming::Images, b'[') if is(&["images"]) => {
                self.images(cursor)?;
                return Ok(true);
            }
            // What tools are called with, and what they answer, can have any shape.
            (Naming::Gemini, _) if is(&["args", "response"]) => return cursor.skip().map(|()| true),
            (Naming::Bedrock, _) if is(&["toolUse"]) => return cursor.skip().map(|()| true),
            (Naming::Images, _) if is(&["tool_calls"]) => return cursor.skip().map(|()| true),
            _ => return Ok(false),
        };
        let mut content = Content::default();
        content.read(cursor)?;
        self.add(content.kind.unwrap_or(kind), content.bytes, content.kept);
        Ok(true)
    }

    /// A list of images, each in its base64.
    fn images(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.array(|cursor| {
            if cursor.peek()? != b'"' {
                return cursor.skip();
            }
            let bytes = cursor.string()?.raw().len() as u64;
            self.add(Kind::Image, bytes, 0);
            Ok(())
        })
    }
}

impl Content {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object(|cursor, key| {
            let first = cursor.peek()?;
            let is = |names: &[&str]| names.iter().any(|name| key.is(name));
            match first {
                b'"' if is(&["mimeType", "mime_type"]) => self.kind = Some(Kind::of_media_type(cursor.string()?)),
                b'"' if is(&["data", "bytes"]) => self.bytes += cursor.string()?.raw().len() as u64,
                b'"' if is(&["fileUri", "file_uri", "uri"]) => {
                    self.kept += 1;
                    cursor.skip()?;
                }
                b'{' if is(&["source", "s3Location"]) => self.read(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(format: WireFormat, messages: &str) -> (u64, u64, u64) {
        let mut parts = Parts { naming: Naming::of(format), ..Parts::default() };
        parts.read(&mut Cursor::new(messages.as_bytes())).unwrap();
        (parts.media, parts.media_bytes, parts.references)
    }

    #[test]
    fn parts_that_have_their_kind_in_their_key_count_like_the_others() {
        let cases = [
            (
                WireFormat::Gemini,
                r#"[{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}]"#,
                (1, 4, 0),
            ),
            (WireFormat::Gemini, r#"[{"parts":[{"inline_data":{"data":"AAAA","mime_type":"image/png"}}]}]"#, (1, 4, 0)),
            // Of a sound, a sixteenth of its bytes stays text.
            (
                WireFormat::Gemini,
                r#"[{"parts":[{"inlineData":{"mimeType":"audio/mp3","data":"AAAAAAAAAAAAAAAAA"}}]}]"#,
                (1, 15, 0),
            ),
            (WireFormat::Gemini, r#"[{"parts":[{"inlineData":{"mimeType":"text/plain","data":"AAAA"}}]}]"#, (1, 0, 0)),
            (
                WireFormat::Gemini,
                r#"[{"parts":[{"fileData":{"mimeType":"video/mp4","fileUri":"gs://a"}}]}]"#,
                (1, 0, 1),
            ),
            (
                WireFormat::BedrockConverse,
                r#"[{"content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}},{"text":"a"}]}]"#,
                (1, 4, 0),
            ),
            (
                WireFormat::BedrockConverse,
                r#"[{"content":[{"toolResult":{"content":[{"document":{"source":{"s3Location":{"uri":"s3://a"}}}}]}}]}]"#,
                (1, 0, 1),
            ),
            (WireFormat::Ollama, r#"[{"role":"user","content":"a","images":["AAAA","AA"]}]"#, (2, 6, 0)),
        ];
        for (format, messages, expected) in cases {
            assert_eq!(parts(format, messages), expected, "{messages}");
        }
    }

    #[test]
    fn text_that_pretends_to_be_an_image_of_another_format_stays_text() {
        for (format, messages) in [
            (WireFormat::OpenAiChat, r#"[{"inlineData":{"mimeType":"image/png","data":"long text"}}]"#),
            (WireFormat::OpenAiChat, r#"[{"images":["long text"]}]"#),
            (
                WireFormat::Gemini,
                r#"[{"parts":[{"functionCall":{"args":{"inlineData":{"mimeType":"image/png","data":"long"}}}}]}]"#,
            ),
            (
                WireFormat::BedrockConverse,
                r#"[{"content":[{"toolUse":{"input":{"image":{"source":{"bytes":"long text"}}}}}]}]"#,
            ),
            (WireFormat::Ollama, r#"[{"tool_calls":[{"function":{"arguments":{"images":["long text"]}}}]}]"#),
        ] {
            assert_eq!(parts(format, messages).1, 0, "{messages}");
        }
    }
}
