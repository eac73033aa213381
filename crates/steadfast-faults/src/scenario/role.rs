//! Selections by role, which are resolved when a fault is injected: who leads is known only then.

use steadfast_machine::Seed;

use crate::topology::InstanceId;

/// Instances by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The instances whose leader probe succeeds.
    Leader,
    /// One of the instances whose leader probe does not succeed.
    Follower,
    /// All instances but the leaders, those included that give no reply.
    NotLeader,
}

/// A selection by role in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSelection {
    /// What the selected instances are.
    pub role: Role,
    /// Drawn from the seed: selects among several.
    pub draw: u64,
}

/// What the leader probe of an instance found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleReply {
    /// The probe succeeded.
    Leads,
    /// It replied, and does not lead.
    Follows,
    /// It gave no reply.
    Silent,
}

impl Role {
    /// The name in selectors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::NotLeader => "not-leader",
        }
    }
}

impl RoleSelection {
    /// The instances that have the role.
    ///
    /// # Errors
    ///
    /// When no instance leads, or none has the role; contains the reason.
    pub fn pick(self, replies: &[(InstanceId, RoleReply)]) -> Result<Vec<InstanceId>, String> {
        let with = |matches: fn(&RoleReply) -> bool| -> Vec<InstanceId> {
            let found = replies.iter().filter(|(_, reply)| matches(reply));
            found.map(|(id, _)| *id).collect()
        };
        let leaders = with(|reply| *reply == RoleReply::Leads);
        let silent = with(|reply| *reply == RoleReply::Silent).len();
        if leaders.is_empty() {
            return Err(format!(
                "the leader probe succeeded on none of the {} instances, and {silent} gave no reply",
                replies.len()
            ));
        }
        let picked = match self.role {
            Role::Leader => leaders,
            Role::NotLeader => with(|reply| *reply != RoleReply::Leads),
            Role::Follower => {
                let followers = with(|reply| *reply == RoleReply::Follows);
                let index = Seed::new(self.draw).generator().below_len(followers.len());
                followers.get(index).copied().into_iter().collect()
            }
        };
        if picked.is_empty() {
            return Err(format!("no instance is `{}`", self.role.name()));
        }
        Ok(picked)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const REPLIES: [(InstanceId, RoleReply); 4] = [
        (InstanceId(4), RoleReply::Follows),
        (InstanceId(5), RoleReply::Leads),
        (InstanceId(6), RoleReply::Silent),
        (InstanceId(7), RoleReply::Follows),
    ];

    fn pick(
        role: Role,
        draw: u64,
        replies: &[(InstanceId, RoleReply)],
    ) -> Result<Vec<u32>, String> {
        let picked = RoleSelection { role, draw }.pick(replies)?;
        Ok(picked.into_iter().map(|id| id.0).collect())
    }

    #[test]
    fn each_role_selects_its_instances() {
        assert_eq!(pick(Role::Leader, 0, &REPLIES), Ok(vec![5]));
        assert_eq!(pick(Role::NotLeader, 0, &REPLIES), Ok(vec![4, 6, 7]));
        let followers: BTreeSet<u32> = (0..20)
            .flat_map(|draw| pick(Role::Follower, draw, &REPLIES).unwrap())
            .collect();
        assert_eq!(
            followers,
            BTreeSet::from([4, 7]),
            "one at a time, by the draw"
        );
        assert_eq!(
            pick(Role::Follower, 3, &REPLIES).map(|picked| picked.len()),
            Ok(1)
        );
    }

    #[test]
    fn without_a_leader_there_is_no_selection() {
        let replies = [
            (InstanceId(0), RoleReply::Silent),
            (InstanceId(1), RoleReply::Follows),
        ];
        let message = "the leader probe succeeded on none of the 2 instances, and 1 gave no reply";

        for role in [Role::Leader, Role::Follower, Role::NotLeader] {
            assert_eq!(pick(role, 0, &replies), Err(message.to_owned()));
        }
        let alone = [(InstanceId(0), RoleReply::Leads)];
        assert_eq!(
            pick(Role::Follower, 0, &alone),
            Err("no instance is `follower`".to_owned())
        );
    }
}
