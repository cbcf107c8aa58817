//! `metrics`: the node's counters.

use anyhow::Result;
use clap::Args;
use clusterluck::control;
use clusterluck::metrics::{Kind, Metric};
use serde_json::{Map, Value, json};

use crate::client::Session;
use crate::output::Answer;
use crate::render::table::Table;

#[derive(Debug, Args)]
pub(crate) struct Metrics {}

impl Metrics {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let metrics = session.ask(&control::Metrics {}).await?;
        let mut table = Table::new(["metric", "of", ">value"]);
        for metric in &metrics {
            for sample in &metric.samples {
                let of: Vec<&str> = sample.labels.iter().map(|(_, value)| value.as_str()).collect();
                let name = metric.name.trim_start_matches("clusterluck_");
                table.row([name.into(), of.join(" ").into(), shown(sample.value).into()]);
            }
        }
        Ok(Answer::new(metrics.iter().map(document).collect::<Value>(), table.to_string()))
    }
}

fn document(metric: &Metric) -> Value {
    let samples = metric.samples.iter().map(|sample| {
        let labels: Map<String, Value> =
            sample.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"labels": labels, "value": sample.value})
    });
    json!({
        "name": metric.name,
        "kind": match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        },
        "help": metric.help,
        "samples": samples.collect::<Value>(),
    })
}

/// Whole numbers as such, others to six places.
fn shown(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
