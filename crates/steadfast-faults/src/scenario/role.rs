//! Selections by role, which are resolved when a fault is injected: who leads is known only then.

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
    /// The role.
    pub role: Role,
    /// Drawn from the seed: selects among several.
    pub draw: u64,
}

/// What the leader probe of an instance found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleReply {
    /// It leads.
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
                let len = u64::try_from(followers.len()).unwrap_or(u64::MAX);
                let index = self.draw.checked_rem(len).unwrap_or_default();
                let index = usize::try_from(index).unwrap_or_default();
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
        assert_eq!(pick(Role::Follower, 6, &REPLIES), Ok(vec![4]));
        assert_eq!(pick(Role::Follower, 7, &REPLIES), Ok(vec![7]));
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
