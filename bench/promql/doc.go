// Package promql holds what is in packaging/ for Prometheus and Grafana against
// Prometheus' own parser and engine. It is a module of its own, so that these are
// no part of uvtep's.
package promql
