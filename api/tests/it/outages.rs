//! The store's failures as clients see them: honest answers in time, nothing false kept, and well again by itself.

mod gone;
mod scene;

use crate::harness::sql_server::Flavour;

/// Each scenario on each flavour, as tests of their own.
macro_rules! on_each_flavour {
    ($($module:ident::$scenario:ident),+ $(,)?) => {
        mod mariadb {
            $(#[tokio::test] async fn $scenario() { super::$module::$scenario(super::Flavour::MariaDb).await; })+
        }
        mod mysql9 {
            $(#[tokio::test] async fn $scenario() { super::$module::$scenario(super::Flavour::MySql9).await; })+
        }
    };
}

on_each_flavour!(
    gone::a_store_that_freezes_under_load,
    gone::a_store_that_is_killed_under_load_and_started_again,
    gone::a_store_that_is_started_after_the_service,
);
