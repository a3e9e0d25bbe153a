package s3api

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rclone/gofakes3"
)

// logger passes gofakes3's messages on; what it says of every request is for
// level debug.
type logger struct{ to *slog.Logger }

func (l logger) Print(level gofakes3.LogLevel, v ...any) {
	at := slog.LevelDebug
	switch level {
	case gofakes3.LogErr:
		at = slog.LevelError
	case gofakes3.LogWarn:
		at = slog.LevelWarn
	}
	if ctx := context.Background(); l.to.Enabled(ctx, at) {
		l.to.Log(ctx, at, "s3: "+fmt.Sprint(v...))
	}
}
