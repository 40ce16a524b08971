package origins

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// A fault logs a fault that lasts: at most one error a minute, and when it is over.
type fault struct {
	mu     sync.Mutex
	last   time.Time // when an error was logged
	logged bool      // whether the fault that there is now has been
}

// is logs that there is a fault, unless an error was logged less than a minute ago.
func (f *fault) is(logger *zap.Logger, message string, err error, fields ...zap.Field) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); f.last.IsZero() || now.Sub(f.last) >= time.Minute {
		f.last, f.logged = now, true
		logger.Error(message, append(fields, zap.Error(err))...)
	}
}

// over logs that there is no fault any more, if that there was one has been logged.
func (f *fault) over(logger *zap.Logger, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logged {
		f.logged = false
		logger.Info(message)
	}
}
