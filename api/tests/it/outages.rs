//! The store's failures as clients see them: honest answers in time, nothing false kept, and well again by itself.

mod connections;
mod gone;
mod refused;
pub mod scene;
pub mod tables;

use crate::harness::sql_server::Flavour;

/// Scenarios on a flavour, as tests of their own.
macro_rules! on {
    ($flavour:ident: $($module:ident::$scenario:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $scenario() { super::$module::$scenario(super::Flavour::$flavour).await; })+
    };
    (elastic $flavour:ident: $($module:ident::$scenario:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $scenario() {
            super::scene::use_elastic_pools();
            super::$module::$scenario(super::Flavour::$flavour).await;
        })+
    };
}

mod mariadb {
    on!(MariaDb:
        connections::the_probers_connection_alone_is_lost,
        connections::connections_that_are_reset_in_the_middle_of_statements,
        connections::connections_that_are_old_are_replaced_one_at_a_time,
        connections::questions_for_health_cost_few_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_frozen_for_longer_than_a_connection_is_kept,
        gone::a_store_that_is_killed_under_load_and_started_again,
        gone::a_store_that_is_started_after_the_service,
        tables::a_table_that_another_session_has_locked,
        tables::a_table_that_is_dropped_and_made_again,
        tables::statements_that_take_longer_than_a_request_waits,
        tables::clients_that_go_away_in_the_middle_of_a_load,
        tables::a_row_that_cannot_be_read_hurts_only_its_user,
        refused::a_password_that_is_wrong_and_one_that_is_changed,
        refused::a_database_that_is_made_later,
        refused::a_server_without_a_place_for_the_service,
        refused::a_server_with_a_place_for_the_prober_and_then_for_one_more,
        refused::a_server_with_a_place_for_one_of_several_that_want_it,
        refused::sessions_that_are_killed_while_idle,
        refused::sessions_that_are_killed_while_busy,
        refused::a_prober_that_alone_is_refused_after_an_outage,
        refused::connections_that_grow_old_while_the_server_admits_no_others,
    );
}

/// Where MySQL has errors, locks or limits of its own.
mod mysql9 {
    on!(MySql9:
        connections::the_probers_connection_alone_is_lost,
        connections::connections_that_are_reset_in_the_middle_of_statements,
        connections::connections_that_are_old_are_replaced_one_at_a_time,
        connections::questions_for_health_cost_few_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_killed_under_load_and_started_again,
        tables::a_table_that_another_session_has_locked,
        tables::statements_that_take_longer_than_a_request_waits,
        tables::clients_that_go_away_in_the_middle_of_a_load,
        refused::a_password_that_is_wrong_and_one_that_is_changed,
        refused::a_server_without_a_place_for_the_service,
        refused::a_server_with_a_place_for_the_prober_and_then_for_one_more,
        refused::sessions_that_are_killed_while_idle,
        refused::sessions_that_are_killed_while_busy,
        refused::a_prober_that_alone_is_refused_after_an_outage,
        refused::connections_that_grow_old_while_the_server_admits_no_others,
    );
}

/// With pools that grow and shrink. The limit of the account is the cap, and no connection is refused.
mod elastic {
    on!(elastic MariaDb:
        connections::connections_that_are_reset_in_the_middle_of_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_frozen_for_longer_than_a_connection_is_kept,
        gone::a_store_that_is_killed_under_load_and_started_again,
        gone::a_store_that_is_started_after_the_service,
        tables::a_table_that_another_session_has_locked,
        tables::a_table_that_is_dropped_and_made_again,
        refused::a_password_that_is_wrong_and_one_that_is_changed,
        refused::a_database_that_is_made_later,
        refused::sessions_that_are_killed_while_idle,
        refused::sessions_that_are_killed_while_busy,
    );
}

/// The same with MySQL.
mod elastic_mysql9 {
    on!(elastic MySql9:
        connections::connections_that_are_reset_in_the_middle_of_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_killed_under_load_and_started_again,
        refused::sessions_that_are_killed_while_busy,
    );
}
