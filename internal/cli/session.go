package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// session is a server that runs in this process, and a client of it.
type session struct {
	*client
	daemon *daemon.Daemon
	// ctx ends when the server does, by its own failure too.
	ctx  context.Context
	stop context.CancelFunc
	done chan error
}

// start starts a server and waits until it answers. What is the same for every server
// of the command is filled in. The caller must close the session.
func (a *app) start(ctx context.Context, o daemon.Options) (*session, error) {
	o.Version, o.Self, o.Log = a.Version, a.Self, a.logger(o.Config.LogLevel)
	d, err := daemon.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	t := target{source: "this command's own server"}
	t.URL, t.Region = d.URL(), d.Region()
	t.AccessKeyID, t.SecretAccessKey = d.Credentials()
	s := &session{client: newClient(t), daemon: d, done: make(chan error, 1)}
	inner, failed := context.WithCancelCause(ctx)
	s.ctx, s.stop = inner, func() { failed(context.Canceled) }
	go func() {
		err := d.Run(inner)
		if err != nil {
			failed(fmt.Errorf("the server failed: %w", err))
		}
		s.done <- err
	}()
	var about map[string]any
	if err := s.own(s.ctx, "server", &about); err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// end stops the server and what it runs, and waits for that.
func (s *session) end() error {
	s.stop()
	return s.wait()
}

// wait waits until the server has ended, for whatever reason. It or end is called
// once.
func (s *session) wait() error {
	err := <-s.done
	s.stop()
	s.close()
	return err
}

// logger writes what a server says of itself to standard error.
func (a *app) logger(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: l}))
}
