//! A network that loses every packet between a process and Redis, as a firewall or a broken switch does.

use super::coherence::{Cut, cut_off};
use super::outages::{costs_little, is_degraded, is_used_again};
use super::{at_address, process, process_at, redis_on_two_addresses};
use crate::harness::own_network::{LOSSY, Loss, run_inside};
use crate::scripted::Script;
use reckon_contract::Tuning;
use std::sync::Arc;

#[tokio::test]
async fn entries_are_dropped_after_10_s_of_lost_packets_and_coherent_2_s_after_they_arrive_again() {
    run_inside("shared_cache::lost_packets::inside_cut_off").await;
}

#[tokio::test]
async fn lost_packets_cost_little_and_redis_is_used_again_when_they_arrive() {
    run_inside("shared_cache::lost_packets::inside_costs_little").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "runs in a network of its own, by the test above"]
async fn inside_cut_off() {
    cut_off(Cut::Lost).await;
}

#[tokio::test]
#[ignore = "runs in a network of its own, by the test above"]
async fn inside_costs_little() {
    let redis = redis_on_two_addresses().await;
    let script = Arc::new(Script::default());
    let lossy = at_address(LOSSY, redis.port());
    let one = process_at(lossy, "shop", &script, Tuning::default()).await;
    let other = process(redis.port(), &script, Tuning::default()).await;
    is_used_again("at first", [&one, &other], &redis, &script).await;
    // Either the connection continues, or it was given up and new attempts were made.
    for probes in [1, 2] {
        let loss = Loss::of_packets();
        costs_little("packets lost", &one, &script).await;
        for _ in 0..probes {
            is_degraded(&one, "timeout").await;
            costs_little("packets lost, known", &one, &script).await;
        }
        drop(loss);
        is_used_again("packets arrive", [&one, &other], &redis, &script).await;
    }
}
