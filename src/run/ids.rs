//! Ids: UUIDv7, so that they sort by the time they were made, each of its own type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map($name)
            }
        }
    };
}

id! {
    /// The id of a run.
    RunId
}
id! {
    /// The id of one attempt of a run.
    AttemptId
}
id! {
    /// The id of a DoD item of a run.
    ItemId
}
id! {
    /// The id of one piece of evidence.
    EvidenceId
}

id! {
    /// The id of one round of checks.
    RoundId
}

impl RunId {
    /// The eight last hexadecimal digits: short, and random where the first ones are the time.
    #[must_use]
    pub fn short(self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 8..].to_owned()
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The full hexadecimal hash.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnObjectId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let full = text.len() == 40 || text.len() == 64;
                if full && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    Ok($name(text))
                } else {
                    Err(NotAnObjectId(text))
                }
            }
        }

        impl FromStr for $name {
            type Err = NotAnObjectId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.to_owned().try_into()
            }
        }
    };
}

/// The text is not a full lower-case hexadecimal object hash (SHA-1 or SHA-256).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a full git object hash: {0:?}")]
pub struct NotAnObjectId(pub String);

object_id! {
    /// The full hash of a git commit.
    CommitId
}
object_id! {
    /// The full hash of a git tree.
    TreeId
}
