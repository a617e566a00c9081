//! The names of all keys and of the channel that the shared cache uses in Redis.
//!
//! ```text
//! {reckon:IDENTITY}:REPLICATION:state              a hash: the epoch, which an invalidation of everything changes, which
//!                                                  variants there are, and which rows of followed tables have been seen
//! {reckon:IDENTITY}:REPLICATION:VARIANT:e:USER     an entry
//! {reckon:IDENTITY}:REPLICATION:VARIANT:l:USER     the lease for writing it
//! {reckon:IDENTITY}:invalidations                  the channel
//! ```
//!
//! The identity separates services with different databases. The variant separates programs that would compute
//! different entries from the same data. REPLICATION is the server's `master_replid`, which changes after each restart
//! and each promotion of a replica: a server that lost writes, or restored an older state, gets different keys.

use super::entry::FORM;
use crate::model::UserId;
use reckon_contract::Tuning;
use reckon_contract::tables::UserIdType;
use std::borrow::Cow;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The settings that processes must agree on to share entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    variant: String,
    ids: UserIdType,
}

impl Identity {
    /// The service called `name`, or by default the one that uses the database at `store`, with the recommendations and tables of
    /// `tuning`.
    ///
    /// # Panics
    /// Never: plain settings always serialize.
    #[must_use]
    pub fn new(name: Option<&str>, store: &str, tuning: &Tuning) -> Self {
        let settings = serde_json::to_vec(&(&tuning.recommendation, &tuning.tables))
            .expect("plain settings always serialize");
        Self {
            name: name.filter(|name| !name.is_empty()).map_or_else(
                || format!("{:032x}", xxh3_128(store.as_bytes())),
                str::to_owned,
            ),
            variant: format!("{}-{:016x}", char::from(FORM), xxh3_64(&settings)),
            ids: tuning.tables.user_id,
        }
    }

    /// The type of user ids in messages.
    pub(super) fn ids(&self) -> UserIdType {
        self.ids
    }

    /// The prefix of the names of all keys.
    pub(super) fn root(&self) -> String {
        reckon_contract::redis::prefix(&self.name)
    }

    /// The variant of this process.
    pub(super) fn variant(&self) -> &str {
        &self.variant
    }

    /// A key that never exists.
    pub(super) fn nothing(&self) -> String {
        self.root() + "nothing"
    }

    pub(super) fn channel(&self) -> String {
        self.root() + "invalidations"
    }
}

/// The text for a user in the name of a key, and in a message on the channel.
pub(super) fn user(user: &UserId) -> Cow<'_, str> {
    match user {
        UserId::Integer(_) | UserId::Unsigned(_) => user.to_string().into(),
        UserId::Text(id) => Cow::Borrowed(id),
    }
}

/// Separates users in a message on the channel; no user id contains it.
pub(super) const SEPARATOR: char = '\n';

#[cfg(test)]
mod tests {
    use super::{Identity, user};
    use crate::model::UserId;
    use reckon_contract::Tuning;
    use reckon_contract::tables::UserIdType;

    #[test]
    fn services_with_other_databases_names_or_settings_have_other_keys() {
        let standard = Tuning::default();
        let (mut longer, mut text) = (Tuning::default(), Tuning::default());
        longer.recommendation.history_length = Some(101);
        text.tables.user_id = UserIdType::Text;
        let identities = [
            Identity::new(None, "db:3306/shop", &standard),
            Identity::new(None, "db:3306/other", &standard),
            Identity::new(Some("uid"), "db:3306/shop", &standard),
            Identity::new(None, "db:3306/shop", &longer),
            Identity::new(None, "db:3306/shop", &text),
        ];
        for (index, one) in identities.iter().enumerate() {
            assert!(identities[index + 1..].iter().all(|other| one != other));
        }
        assert_eq!(identities[2].root(), "{reckon:uid}:");
        assert_eq!(identities[2].nothing(), "{reckon:uid}:nothing");
        assert_eq!(identities[2].channel(), "{reckon:uid}:invalidations");
        assert_eq!(identities[0].channel(), identities[3].channel());
        let ids = [&identities[3], &identities[4]].map(Identity::ids);
        assert_eq!(ids, [UserIdType::Integer, UserIdType::Text]);
        // The format of entries, and the settings that they were computed with.
        assert!(identities[0].variant().starts_with("2-"));
        assert_ne!(identities[0].variant(), identities[3].variant());
    }

    #[test]
    fn a_key_has_the_id_of_its_user_as_it_is() {
        let ids = [
            UserId::Integer(-7),
            UserId::Unsigned(u64::MAX),
            UserId::Text("a:b }".into()),
        ];
        let names = ids.each_ref().map(|id| user(id).into_owned());
        assert_eq!(names, ["-7", "18446744073709551615", "a:b }"]);
    }

    #[test]
    fn an_empty_name_counts_as_absent() {
        let settings = Tuning::default();
        let empty = Identity::new(Some(""), "db:3306/shop", &settings);
        assert_eq!(empty, Identity::new(None, "db:3306/shop", &settings));
    }
}
