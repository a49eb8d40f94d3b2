//! Which providers a key dispatches to, in which order, and what keeps the others out (domain 9).
//!
//! Scopes reach upwards only: a key of a team sees what the team and the organization offer. Must never
//! reach what the key's scopes do not, whatever a policy or a list names. Start at [`eligible`].

use std::cmp::Ordering;

use lw_core::{ModelProviderId, UnixMicros};

use crate::access::{Level, Place};

/// What is known of one provider of the key's organization.
#[derive(Debug, Clone, Copy)]
pub struct Provider<'a> {
    /// The row.
    pub id: &'a ModelProviderId,
    /// Where it is visible.
    pub levels: &'a [Level],
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it was withdrawn (`disabledAt` is set).
    pub disabled: bool,
    /// Whether its kind takes calls at all.
    pub dispatchable: bool,
    /// `fallbackPriorityGlobal`: lower is tried first, none comes last.
    pub priority: Option<i64>,
    /// When it was created; the older is tried first.
    pub created_at: UnixMicros,
}

impl Provider<'_> {
    /// Whether a key with these scopes reaches it. The organization is reached by every key.
    #[must_use]
    pub fn reached_from(&self, scopes: &[Place]) -> bool {
        let Self {
            id: _,
            levels,
            enabled,
            disabled,
            dispatchable,
            priority: _,
            created_at: _,
        } = self;
        let visible = |level: &Level| {
            *level == Level::Organization || scopes.iter().any(|place| level.covers(place))
        };
        *enabled && !disabled && *dispatchable && levels.iter().any(visible)
    }

    /// By priority with none last, then by age, then by id.
    fn dispatch_order(&self, other: &Self) -> Ordering {
        let rank = |each: &Self| (each.priority.is_none(), each.priority, each.created_at);
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.id.cmp(other.id))
    }
}

/// How a policy orders its providers (domain 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyStrategy {
    /// As they are listed.
    Ordered,
    /// As the providers' priorities say.
    Priority,
}

impl PolicyStrategy {
    /// The strategy as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Priority => "priority",
        }
    }

    /// Reads a strategy.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ordered, Self::Priority]
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
    }
}

/// The routing policy of a key. One of another organization is passed with an empty list: it yields
/// nothing.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// How the list is ordered.
    pub strategy: PolicyStrategy,
    /// The providers that it names.
    pub providers: &'a [ModelProviderId],
}

/// The outcome. No id is in two of the lists or twice in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Eligible<'a> {
    /// What the key dispatches to, first choice first.
    pub chain: Vec<&'a ModelProviderId>,
    /// Reached and allowed, but the policy leaves it out; in the order without a policy.
    pub routing_excluded: Vec<&'a ModelProviderId>,
    /// Reached, but outside of `providersAllowed`; in the order without a policy.
    pub access_excluded: Vec<&'a ModelProviderId>,
}

/// Decides what a key with `scopes` dispatches to. `allowed` is `providersAllowed`; an empty list means
/// none was given (domain 7.5).
#[must_use]
pub fn eligible<'a>(
    scopes: &[Place],
    providers: &[Provider<'a>],
    policy: Option<Policy<'_>>,
    allowed: Option<&[ModelProviderId]>,
) -> Eligible<'a> {
    let mut reached: Vec<&Provider<'a>> = providers
        .iter()
        .filter(|provider| provider.reached_from(scopes))
        .collect();
    reached.sort_by(|a, b| a.dispatch_order(b));
    let allowed = allowed.filter(|list| !list.is_empty());
    let (inside, outside): (Vec<_>, Vec<_>) = reached
        .into_iter()
        .map(|provider| provider.id)
        .partition(|id| allowed.is_none_or(|list| list.contains(id)));
    let named = |id: &&ModelProviderId| policy.is_none_or(|policy| policy.providers.contains(id));
    let (mut chain, routing_excluded): (Vec<_>, Vec<_>) = inside.into_iter().partition(named);
    if let Some(Policy {
        strategy: PolicyStrategy::Ordered,
        providers,
    }) = policy
    {
        chain.sort_by_key(|id| providers.iter().position(|listed| listed == *id));
    }
    Eligible {
        chain,
        routing_excluded,
        access_excluded: outside,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lw_core::{ProjectId, TeamId};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;

    /// A provider with its row owned, so that tests can lend it.
    #[derive(Debug, Clone)]
    struct Row {
        id: ModelProviderId,
        levels: Vec<Level>,
        enabled: bool,
        disabled: bool,
        dispatchable: bool,
        priority: Option<i64>,
        created_at: i64,
    }

    impl Row {
        fn lend(&self) -> Provider<'_> {
            Provider {
                id: &self.id,
                levels: &self.levels,
                enabled: self.enabled,
                disabled: self.disabled,
                dispatchable: self.dispatchable,
                priority: self.priority,
                created_at: UnixMicros(self.created_at),
            }
        }
    }

    fn row(id: &str, level: Level, priority: Option<i64>, created_at: i64) -> Row {
        Row {
            id: ModelProviderId::parse(id).expect(id),
            levels: vec![level],
            enabled: true,
            disabled: false,
            dispatchable: true,
            priority,
            created_at,
        }
    }

    fn team(name: &str) -> TeamId {
        TeamId::parse(name).expect(name)
    }

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).expect(name)
    }

    fn names(ids: &[&ModelProviderId]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_a_policy_the_order_is_priority_then_age() {
        let rows = [
            row("mp_late", Level::Organization, None, 2),
            row("mp_second", Level::Organization, Some(5), 9),
            row("mp_first", Level::Organization, Some(-1), 9),
            row("mp_early", Level::Organization, None, 1),
            row("mp_b", Level::Organization, Some(5), 9),
        ];
        let providers: Vec<_> = rows.iter().map(Row::lend).collect();
        let found = eligible(&[Place::organization()], &providers, None, None);
        assert_eq!(
            names(&found.chain),
            ["mp_first", "mp_b", "mp_second", "mp_early", "mp_late"]
        );
        assert_eq!(found.routing_excluded, [] as [&ModelProviderId; 0]);
    }

    #[test]
    fn scopes_reach_upwards_and_never_downwards() {
        let rows = [
            row("mp_org", Level::Organization, None, 1),
            row("mp_team", Level::Team(team("team_a")), None, 2),
            row("mp_proj", Level::Project(project("proj_1")), None, 3),
            row("mp_other", Level::Team(team("team_b")), None, 4),
        ];
        let providers: Vec<_> = rows.iter().map(Row::lend).collect();
        for (place, expected) in [
            (Place::organization(), vec!["mp_org"]),
            (Place::team(team("team_a")), vec!["mp_org", "mp_team"]),
            (
                Place::project(project("proj_1"), team("team_a")),
                vec!["mp_org", "mp_team", "mp_proj"],
            ),
            (
                Place::project(project("proj_2"), team("team_b")),
                vec!["mp_org", "mp_other"],
            ),
        ] {
            assert_eq!(
                names(&eligible(&[place], &providers, None, None).chain),
                expected
            );
        }
    }

    #[test]
    fn a_policy_orders_and_a_list_of_allowed_ones_keeps_the_order() {
        let rows = [
            row("mp_a", Level::Organization, Some(1), 1),
            row("mp_b", Level::Organization, Some(2), 2),
            row("mp_c", Level::Organization, Some(3), 3),
            row("mp_d", Level::Organization, Some(4), 4),
        ];
        let providers: Vec<_> = rows.iter().map(Row::lend).collect();
        let ids = |names: &[&str]| -> Vec<ModelProviderId> {
            names
                .iter()
                .map(|name| ModelProviderId::parse(name).expect(name))
                .collect()
        };
        let listed = ids(&["mp_c", "mp_gone", "mp_a", "mp_d", "mp_a"]);
        let allowed = ids(&["mp_a", "mp_b", "mp_c"]);
        for (strategy, chain) in [
            (PolicyStrategy::Ordered, ["mp_c", "mp_a"]),
            (PolicyStrategy::Priority, ["mp_a", "mp_c"]),
        ] {
            assert_eq!(PolicyStrategy::parse(strategy.as_str()), Some(strategy));
            let policy = Policy {
                strategy,
                providers: &listed,
            };
            let found = eligible(&[], &providers, Some(policy), Some(&allowed));
            assert_eq!(names(&found.chain), chain);
            assert_eq!(names(&found.routing_excluded), ["mp_b"]);
            assert_eq!(names(&found.access_excluded), ["mp_d"]);
        }
        let nothing = Policy {
            strategy: PolicyStrategy::Ordered,
            providers: &[],
        };
        let found = eligible(&[], &providers, Some(nothing), Some(&[]));
        assert_eq!(found.chain, [] as [&ModelProviderId; 0]);
        assert_eq!(found.routing_excluded.len(), 4);
    }

    /// A place as the specification's predicates: texts.
    fn predicates(scopes: &[Place]) -> BTreeSet<String> {
        let mut out = BTreeSet::from([String::from("ORGANIZATION")]);
        for scope in scopes {
            for name in ["team_a", "team_b"] {
                if Level::Team(team(name)).covers(scope) {
                    out.insert(format!("TEAM:{name}"));
                }
            }
            for name in ["proj_1", "proj_2"] {
                if Level::Project(project(name)).covers(scope) {
                    out.insert(format!("PROJECT:{name}"));
                }
            }
        }
        out
    }

    fn word(level: &Level) -> String {
        match level {
            Level::Organization => "ORGANIZATION".into(),
            Level::Team(id) => format!("TEAM:{id}"),
            Level::Project(id) => format!("PROJECT:{id}"),
        }
    }

    /// Whether `a` comes before `b`, by the comparator of domain 9 read line by line.
    fn before(a: &Row, b: &Row) -> bool {
        match (a.priority, b.priority) {
            (Some(x), Some(y)) if x != y => x < y,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ if a.created_at != b.created_at => a.created_at < b.created_at,
            _ => a.id.as_str() < b.id.as_str(),
        }
    }

    fn sorted(rows: Vec<&Row>) -> Vec<&Row> {
        let mut out: Vec<&Row> = Vec::new();
        for row in rows {
            let place = out.iter().filter(|other| before(other, row)).count();
            out.insert(place, row);
        }
        out
    }

    fn oracle(
        scopes: &[Place],
        rows: &[Row],
        policy: Option<(PolicyStrategy, &[ModelProviderId])>,
        allowed: Option<&[ModelProviderId]>,
    ) -> [Vec<String>; 3] {
        let predicates = predicates(scopes);
        let reach = |row: &&Row| {
            row.enabled
                && !row.disabled
                && row.dispatchable
                && row
                    .levels
                    .iter()
                    .any(|level| predicates.contains(&word(level)))
        };
        let reached: Vec<&Row> = rows.iter().filter(reach).collect();
        let ordered: Vec<&Row> = match policy {
            None => sorted(reached.clone()),
            Some((strategy, ids)) => {
                let mut listed: Vec<&Row> = Vec::new();
                for id in ids {
                    for row in &reached {
                        if row.id == *id && !listed.iter().any(|other| other.id == *id) {
                            listed.push(row);
                        }
                    }
                }
                match strategy {
                    PolicyStrategy::Ordered => listed,
                    PolicyStrategy::Priority => sorted(listed),
                }
            }
        };
        let allowed = allowed.filter(|list| !list.is_empty());
        let inside = |row: &&Row| allowed.is_none_or(|list| list.contains(&row.id));
        let text = |rows: Vec<&Row>| rows.iter().map(|row| row.id.to_string()).collect();
        let chain: Vec<&Row> = ordered.iter().copied().filter(inside).collect();
        let routing: Vec<&Row> = sorted(reached.clone())
            .into_iter()
            .filter(inside)
            .filter(|row| !ordered.iter().any(|other| other.id == row.id))
            .collect();
        let access: Vec<&Row> = sorted(reached)
            .into_iter()
            .filter(|row| !inside(row))
            .collect();
        [text(chain), text(routing), text(access)]
    }

    fn places() -> Vec<Place> {
        vec![
            Place::organization(),
            Place::team(team("team_a")),
            Place::team(team("team_b")),
            Place::project(project("proj_1"), team("team_a")),
            Place::project(project("proj_2"), team("team_b")),
        ]
    }

    fn some_rows() -> impl Strategy<Value = Vec<Row>> {
        let levels = vec![
            Level::Organization,
            Level::Team(team("team_a")),
            Level::Team(team("team_b")),
            Level::Project(project("proj_1")),
            Level::Project(project("proj_2")),
        ];
        let one = (
            subsequence(levels, 1..3),
            prop::bool::weighted(0.9),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.9),
            option::of(0_i64..3),
            0_i64..3,
        );
        vec(one, 0..8).prop_map(|rows| {
            let mut out: Vec<Row> = Vec::new();
            for (n, (levels, enabled, disabled, dispatchable, priority, created_at)) in
                rows.into_iter().enumerate()
            {
                out.push(Row {
                    id: id(n),
                    levels,
                    enabled,
                    disabled,
                    dispatchable,
                    priority,
                    created_at,
                });
            }
            out
        })
    }

    fn id(n: usize) -> ModelProviderId {
        ModelProviderId::parse(&format!("mp_{n}")).expect("an id")
    }

    fn some_ids() -> impl Strategy<Value = Vec<ModelProviderId>> {
        vec((0_usize..10).prop_map(id), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn the_outcome_is_that_of_the_rules_read_one_by_one(
            scopes in subsequence(places(), 0..4),
            mut rows in some_rows(),
            turned in any::<bool>(),
            policy in option::of((select(vec![PolicyStrategy::Ordered, PolicyStrategy::Priority]), some_ids())),
            allowed in option::of(some_ids()),
        ) {
            // The order in which rows arrive means nothing.
            if turned {
                rows.reverse();
            }
            let providers: Vec<_> = rows.iter().map(Row::lend).collect();
            let given = policy.as_ref().map(|(strategy, ids)| Policy {
                strategy: *strategy,
                providers: ids,
            });
            let found = eligible(&scopes, &providers, given, allowed.as_deref());
            let same = policy.as_ref().map(|(strategy, ids)| (*strategy, ids.as_slice()));
            let [chain, routing, access] = oracle(&scopes, &rows, same, allowed.as_deref());
            prop_assert_eq!(names(&found.chain), chain);
            prop_assert_eq!(names(&found.routing_excluded), routing);
            prop_assert_eq!(names(&found.access_excluded), access);
        }
    }
}
