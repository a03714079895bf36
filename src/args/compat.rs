//! Flags that are accepted because existing Deployments have them, and that change nothing here.

use std::time::Duration;

use super::values::duration;

/// What has no meaning here.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Accepted for compatibility, without effect")]
pub struct Compat {
    /// How often everything is looked at again; changes are seen as they happen
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    sync_period: Option<Duration>,
    /// How many pools are served at once; --max-in-flight is the limit
    #[arg(long, value_name = "N")]
    ippool_concurrency: Option<u32>,
    /// Key exchanges of TLS; the safe ones are always offered
    #[arg(long, value_name = "IDS")]
    tls_curve_preferences: Option<String>,
    /// The newest TLS; 1.3 is always offered
    #[arg(long, value_name = "VERSION")]
    tls_max_version: Option<String>,
    /// Switches of features; there are none
    #[arg(long, value_name = "NAME=BOOL,…")]
    feature_gates: Option<String>,
    /// Older name of --diagnostics-address, for plain HTTP
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_addr: Option<String>,
    /// Level of detail by file
    #[arg(long, value_name = "PATTERN=N,…")]
    vmodule: Option<String>,
    /// How often the log is flushed; it always is
    #[arg(long, value_name = "DURATION")]
    log_flush_frequency: Option<String>,
    /// Split of the text log over two streams
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_text_split_stream: Option<String>,
    /// Buffer of the text log
    #[arg(long, value_name = "SIZE")]
    log_text_info_buffer_size: Option<String>,
    /// Split of the JSON log over two streams
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_json_split_stream: Option<String>,
    /// Buffer of the JSON log
    #[arg(long, value_name = "SIZE")]
    log_json_info_buffer_size: Option<String>,
}

impl Compat {
    /// Says, once, which flags were given and have no effect.
    pub fn report(&self) {
        let given: Vec<&str> =
            self.flags().into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect();
        if !given.is_empty() {
            tracing::info!(flags = %given.join(" "), "accepted for compatibility, without effect; --help says why");
        }
    }

    fn flags(&self) -> [(&'static str, bool); 12] {
        [
            ("--sync-period", self.sync_period.is_some()),
            ("--ippool-concurrency", self.ippool_concurrency.is_some()),
            ("--tls-curve-preferences", self.tls_curve_preferences.is_some()),
            ("--tls-max-version", self.tls_max_version.is_some()),
            ("--feature-gates", self.feature_gates.is_some()),
            ("--metrics-bind-addr", self.metrics_bind_addr.is_some()),
            ("--vmodule", self.vmodule.is_some()),
            ("--log-flush-frequency", self.log_flush_frequency.is_some()),
            ("--log-text-split-stream", self.log_text_split_stream.is_some()),
            ("--log-text-info-buffer-size", self.log_text_info_buffer_size.is_some()),
            ("--log-json-split-stream", self.log_json_split_stream.is_some()),
            ("--log-json-info-buffer-size", self.log_json_info_buffer_size.is_some()),
        ]
    }
}
