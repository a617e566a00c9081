//! One scenario, a test for each kind of server.

/// Creates a test of each scenario (`async fn(Flavour)`) on each flavour, in modules `mariadb` and `mysql9`.
#[macro_export]
macro_rules! on_each_flavour {
    ($($scenario:ident),+ $(,)?) => {
        mod mariadb {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::sql_server::Flavour::MariaDb).await;
            })+
        }
        mod mysql9 {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::sql_server::Flavour::MySql9).await;
            })+
        }
    };
}

pub use on_each_flavour;
