//! The versions of the API that a server offers, in their order; the newest one is also the release of the server.

use std::fmt;

/// A version of the API. Later versions are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiVersion {
    /// `v25.04.0`, the first version with JSON-RPC 2.0.
    V25_04_0,
    /// `v25.04.1`, the first update.
    V25_04_1,
    /// `v25.04.2`, the second update.
    V25_04_2,
    /// `v25.10.0`: replies of jobs can wait for their end.
    V25_10_0,
    /// `v25.10.1`, the first update.
    V25_10_1,
    /// `v25.10.2`, the second update.
    V25_10_2,
    /// `v25.10.5`, the fifth update.
    V25_10_5,
    /// `v26.0.0`: pending calls are cancelled when their connection ends.
    V26_0_0,
    /// `v27.0.0`: without `auth.login` and `auth.login_with_api_key`, and without frames in traces.
    V27_0_0,
}

impl ApiVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 9] = [
        Self::V25_04_0,
        Self::V25_04_1,
        Self::V25_04_2,
        Self::V25_10_0,
        Self::V25_10_1,
        Self::V25_10_2,
        Self::V25_10_5,
        Self::V26_0_0,
        Self::V27_0_0,
    ];

    /// Returns the name in paths and in `GET /api/versions`, for example `v25.10.0`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V25_04_0 => "v25.04.0",
            Self::V25_04_1 => "v25.04.1",
            Self::V25_04_2 => "v25.04.2",
            Self::V25_10_0 => "v25.10.0",
            Self::V25_10_1 => "v25.10.1",
            Self::V25_10_2 => "v25.10.2",
            Self::V25_10_5 => "v25.10.5",
            Self::V26_0_0 => "v26.0.0",
            Self::V27_0_0 => "v27.0.0",
        }
    }

    /// Returns the version with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// Returns the versions that a server of this release offers, oldest first.
    pub fn offered(self) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |version| *version <= self)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
