//! Failures of the store, as clients observe them: correct answers or errors in time, no wrong entry in a cache, and
//! recovery without action.

mod connections;
pub mod fixture;
mod gone;
mod refused;
pub mod tables;

use crate::harness::own_network::run_inside;
use crate::harness::sql_server::Flavour;

/// Scenarios on a flavour, as separate tests.
macro_rules! on {
    ($flavour:ident: $($module:ident::$scenario:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $scenario() { super::$module::$scenario(super::Flavour::$flavour).await; })+
    };
    (elastic $flavour:ident: $($module:ident::$scenario:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $scenario() {
            super::fixture::use_elastic_pools();
            super::$module::$scenario(super::Flavour::$flavour).await;
        })+
    };
}

mod mariadb {
    on!(MariaDb:
        connections::only_the_probers_connection_is_lost,
        connections::connections_that_are_reset_in_the_middle_of_statements,
        connections::connections_that_are_old_are_replaced_one_at_a_time,
        connections::health_requests_cost_few_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_frozen_for_longer_than_a_connection_is_kept,
        gone::a_store_that_is_killed_under_load_and_started_again,
        gone::a_store_that_is_started_after_the_service,
        tables::a_table_locked_by_another_session,
        tables::a_table_that_is_dropped_and_recreated,
        tables::statements_that_take_longer_than_a_request_waits,
        tables::clients_that_disconnect_in_the_middle_of_a_load,
        tables::a_row_that_cannot_be_read_affects_only_its_user,
        refused::a_wrong_password_and_a_changed_one,
        refused::a_password_that_has_expired,
        refused::a_host_that_is_not_allowed,
        refused::a_database_that_is_created_later,
        refused::a_server_without_a_free_connection,
        refused::a_server_with_a_free_connection_for_the_prober_and_then_for_one_worker,
        refused::a_server_with_a_free_connection_for_only_one_worker,
        refused::sessions_that_are_killed_while_idle,
        refused::sessions_that_are_killed_while_busy,
        refused::only_the_prober_is_refused_after_an_outage,
        refused::connections_that_expire_while_the_server_accepts_no_others,
    );
}

#[tokio::test]
async fn a_host_that_is_blocked() {
    run_inside("outages::inside_a_host_that_is_blocked").await;
}

#[tokio::test]
#[ignore = "runs in a network of its own, by the test above"]
async fn inside_a_host_that_is_blocked() {
    refused::a_host_that_is_blocked().await;
}

/// Scenarios in which MySQL has its own errors, locks or limits.
mod mysql9 {
    on!(MySql9:
        connections::only_the_probers_connection_is_lost,
        connections::connections_that_are_reset_in_the_middle_of_statements,
        connections::connections_that_are_old_are_replaced_one_at_a_time,
        connections::health_requests_cost_few_statements,
        gone::a_store_that_freezes_under_load,
        gone::a_store_that_is_killed_under_load_and_started_again,
        tables::a_table_locked_by_another_session,
        tables::statements_that_take_longer_than_a_request_waits,
        tables::clients_that_disconnect_in_the_middle_of_a_load,
        refused::a_wrong_password_and_a_changed_one,
        refused::a_password_that_has_expired,
        refused::a_host_that_is_not_allowed,
        refused::a_server_without_a_free_connection,
        refused::a_server_with_a_free_connection_for_the_prober_and_then_for_one_worker,
        refused::sessions_that_are_killed_while_idle,
        refused::sessions_that_are_killed_while_busy,
        refused::only_the_prober_is_refused_after_an_outage,
        refused::connections_that_expire_while_the_server_accepts_no_others,
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
        tables::a_table_locked_by_another_session,
        tables::a_table_that_is_dropped_and_recreated,
        refused::a_wrong_password_and_a_changed_one,
        refused::a_database_that_is_created_later,
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
