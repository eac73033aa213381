//! Who takes part in a run: instances of services, the rooms that each of them serves, clients and where they sit.
//!
//! It is made by the plan and says nothing about what happens. Facts name everyone by the small ids that are given out
//! here; reports turn them back into names.

use std::fmt;

/// An instance of a service: its place in [`Roster::instances`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// A room: its place in [`Roster::rooms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// A simulated client: its place in [`Roster::clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

/// A planned fault: its place in the plan's schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// What a client is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKind {
    /// Our own client library.
    Steadfast,
    /// `centrifuge-client` of the Rust registry.
    CentrifugeClient,
    /// `centrifuge` of npm.
    Centrifuge,
    /// `centrifuge-python` of `PyPI`.
    CentrifugePython,
}

impl ClientKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Steadfast,
        Self::CentrifugeClient,
        Self::Centrifuge,
        Self::CentrifugePython,
    ];

    /// The name in scenarios and reports: that of the package.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steadfast => "steadfast",
            Self::CentrifugeClient => "centrifuge-client",
            Self::Centrifuge => "centrifuge",
            Self::CentrifugePython => "centrifuge-python",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One process of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The service's name in the scenario.
    pub service: String,
    /// Counts from 1 within the service.
    pub number: u32,
}

impl fmt::Display for Instance {
    /// As selectors name it, for example `gateway:2`; also fit for the name of a folder, with the colon replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.number)
    }
}

/// A channel that one instance serves and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Who serves it.
    pub instance: InstanceId,
    /// The channel's name on the wire.
    pub name: String,
}

/// A simulated client: it connects to one instance, reads one room there and publishes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Its name in reports, for example `chat-7`.
    pub name: String,
    /// The load that it belongs to.
    pub load: String,
    /// What it is made of.
    pub kind: ClientKind,
    /// Where it connects.
    pub instance: InstanceId,
    /// What it reads and writes.
    pub room: RoomId,
}

/// Everyone who takes part. Ids count from 0 in the order of these lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    instances: Vec<Instance>,
    rooms: Vec<Room>,
    clients: Vec<Client>,
}

impl Roster {
    /// The processes.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The rooms of all instances.
    pub fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// The clients of all loads.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The process with this id.
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(place(id.0))
    }

    /// The room with this id.
    pub fn room(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(place(id.0))
    }

    /// The client with this id.
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(place(id.0))
    }

    /// Adds a process and gives it its id.
    pub fn add_instance(&mut self, service: &str, number: u32) -> InstanceId {
        let id = InstanceId(count(self.instances.len()));
        self.instances.push(Instance {
            id,
            service: service.to_owned(),
            number,
        });
        id
    }

    /// Adds a room and gives it its id.
    pub fn add_room(&mut self, instance: InstanceId, name: String) -> RoomId {
        let id = RoomId(count(self.rooms.len()));
        self.rooms.push(Room { id, instance, name });
        id
    }

    /// Adds a client in a room and gives it its id; `None` when there is no such room.
    pub fn add_client(
        &mut self,
        name: String,
        load: &str,
        kind: ClientKind,
        room: RoomId,
    ) -> Option<ClientId> {
        let instance = self.room(room)?.instance;
        let id = ClientId(count(self.clients.len()));
        self.clients.push(Client {
            id,
            name,
            load: load.to_owned(),
            kind,
            instance,
            room,
        });
        Some(id)
    }
}

/// Scenarios bound every list far below the range of an id.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn place(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}
