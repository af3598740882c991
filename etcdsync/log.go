package etcdsync

import (
	"time"

	"github.com/rs/zerolog"
)

// Lines that others can cause by what they write into etcd are limited: so
// many a minute, the rest is counted only.
const (
	alarmBurst  = 60
	alarmPeriod = time.Minute
)

// limited returns a logger for such lines.
func limited(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: alarmBurst, Period: alarmPeriod})
}
