//! Texts with placeholders that are known only when a run starts: `${etcd:2.port.client}`, `${self.data}`.
//!
//! A parameter is substituted when the file is read; a placeholder names an instance of a service and stays in the
//! text. Both are written `${…}`: a placeholder begins with `self` or the name of a service, and contains a dot.

use std::fmt;

/// The name by which a service refers to its own instance.
pub const SELF: &str = "self";

/// What may follow the instance in a placeholder, for errors.
const FIELDS: &str = "address, data, endpoints.PORT, folder, listen, name, number, port.PORT";

/// A text with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Placeholder),
}

/// A value of an instance that is known when the run starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// The instance that has the value.
    pub owner: Owner,
    /// Which of its values.
    pub field: Field,
}

/// The instance that a placeholder refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The instance whose text it is.
    This,
    /// An instance of a service; `etcd` is `etcd:1`.
    Instance {
        /// The name of the service.
        service: String,
        /// Counts from 1 within the service.
        number: u32,
    },
}

/// A value of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Its IP address.
    Address,
    /// The path of its data directory.
    Data,
    /// `address:port` of every instance of the service, separated by commas, for the port of this name.
    Endpoints(String),
    /// The path of its directory, which has its log and its generated files.
    Folder,
    /// The address to listen on: its IP address, or all addresses of a network of its own.
    Listen,
    /// Its name without a colon, for example `etcd-2`.
    Name,
    /// Its number, from 1.
    Number,
    /// The number of the port of this name.
    Port(String),
}

impl Template {
    /// A text without placeholders.
    pub fn literal(text: impl Into<String>) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
        }
    }

    /// Parses a text in which parameters are substituted already.
    ///
    /// # Errors
    ///
    /// When a placeholder is not closed or has an unknown form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, remainder) = after
                .split_once('}')
                .ok_or_else(|| format!("`${{{after}` is not closed with `}}`"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let place = Placeholder::parse(name)
                .ok_or_else(|| format!("invalid placeholder `${{{name}}}`: known are {FIELDS}"))?;
            parts.push(Part::Place(place));
            rest = remainder;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The placeholders, in their order.
    pub fn places(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Place(place) => Some(place),
        })
    }

    /// The text with the values of all placeholders; `None` when one of them has no value.
    pub fn resolve(&self, value: impl Fn(&Placeholder) -> Option<String>) -> Option<String> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Place(place) => value(place),
        });
        parts.collect()
    }
}

impl fmt::Display for Template {
    /// Writes the text as it is in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Place(place) => write!(f, "{place}"),
        })
    }
}

impl Placeholder {
    /// Whether a name in `${…}` is a placeholder and not a parameter.
    pub(super) fn is_placeholder(name: &str, services: &[String]) -> bool {
        let Some((owner, _)) = name.split_once('.') else {
            return false;
        };
        let service = owner.split(':').next().unwrap_or(owner);
        service == SELF || services.iter().any(|it| it == service)
    }

    fn parse(name: &str) -> Option<Self> {
        let (owner, field) = name.split_once('.')?;
        Some(Self {
            owner: Owner::parse(owner)?,
            field: Field::parse(field)?,
        })
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = match &self.owner {
            Owner::This => SELF.to_owned(),
            Owner::Instance { service, number } => format!("{service}:{number}"),
        };
        let field = match &self.field {
            Field::Address => "address".to_owned(),
            Field::Data => "data".to_owned(),
            Field::Endpoints(port) => format!("endpoints.{port}"),
            Field::Folder => "folder".to_owned(),
            Field::Listen => "listen".to_owned(),
            Field::Name => "name".to_owned(),
            Field::Number => "number".to_owned(),
            Field::Port(port) => format!("port.{port}"),
        };
        write!(f, "${{{owner}.{field}}}")
    }
}

impl Owner {
    fn parse(text: &str) -> Option<Self> {
        if text == SELF {
            return Some(Self::This);
        }
        let (service, number) = match text.split_once(':') {
            None => (text, 1),
            Some((service, number)) => (service, number.parse().ok()?),
        };
        (number > 0).then(|| Self::Instance {
            service: service.to_owned(),
            number,
        })
    }
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "address" => return Some(Self::Address),
            "data" => return Some(Self::Data),
            "folder" => return Some(Self::Folder),
            "listen" => return Some(Self::Listen),
            "name" => return Some(Self::Name),
            "number" => return Some(Self::Number),
            _ => {}
        }
        let (kind, port) = text.split_once('.')?;
        match kind {
            "port" => Some(Self::Port(port.to_owned())),
            "endpoints" => Some(Self::Endpoints(port.to_owned())),
            _ => None,
        }
    }

    /// The name of the port that it refers to, if it refers to one.
    pub fn port(&self) -> Option<&str> {
        match self {
            Self::Port(port) | Self::Endpoints(port) => Some(port),
            Self::Address
            | Self::Data
            | Self::Folder
            | Self::Listen
            | Self::Name
            | Self::Number => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_parsed_printed_and_resolved() {
        let text = "http://${etcd:2.address}:${etcd:2.port.client}/${self.name}?all=${etcd:1.endpoints.peer}";
        let template = Template::parse(text).unwrap();

        let resolved = template.resolve(|place| match (&place.owner, &place.field) {
            (Owner::This, Field::Name) => Some("web-1".to_owned()),
            (Owner::Instance { number, .. }, Field::Address) => Some(format!("10.0.0.{number}")),
            (_, Field::Port(name) | Field::Endpoints(name)) => Some(name.clone()),
            _ => None,
        });

        assert_eq!(template.to_string(), text);
        assert_eq!(
            resolved.as_deref(),
            Some("http://10.0.0.2:client/web-1?all=peer")
        );
        assert_eq!(template.resolve(|_| None), None);
    }

    #[test]
    fn an_instance_without_a_number_is_the_first() {
        let template = Template::parse("${etcd.address}").unwrap();

        assert_eq!(template.to_string(), "${etcd:1.address}");
    }

    #[test]
    fn malformed_placeholders_are_rejected() {
        for (text, message) in [
            ("${self.address", "`${self.address` is not closed with `}`"),
            (
                "${self.host}",
                "invalid placeholder `${self.host}`: known are address, data, endpoints.PORT, folder, listen, name, number, port.PORT",
            ),
            (
                "${etcd:0.address}",
                "invalid placeholder `${etcd:0.address}`: known are address, data, endpoints.PORT, folder, listen, name, number, port.PORT",
            ),
        ] {
            assert_eq!(Template::parse(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn only_names_with_a_dot_after_a_service_are_placeholders() {
        let services = ["etcd".to_owned()];
        for (name, expected) in [
            ("self.data", true),
            ("etcd.address", true),
            ("etcd:2.address", true),
            ("etcd", false),
            ("nats.address", false),
            ("clients", false),
        ] {
            assert_eq!(
                Placeholder::is_placeholder(name, &services),
                expected,
                "{name}"
            );
        }
    }
}
