package cli

import (
	"context"
	"errors"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// How often a job is looked at: a drawn bar should move, a plain line need not.
const (
	drawInterval  = 100 * time.Millisecond
	plainInterval = 500 * time.Millisecond
)

// patience is how many times in a row a server may not answer: it may be starting
// again, and takes its jobs up then.
const patience = 20

// watch shows a job's progress on standard error until the job has ended, and
// gives its last state.
func (a *app) watch(ctx context.Context, c *client, job string, interval time.Duration) (api.JobProgress, error) {
	m := newMeter(a.err, time.Now())
	defer m.done()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	missed := 0
	for {
		p, err := c.progress(ctx, job)
		switch {
		case err == nil && resource.TransformJobStatus(p.Status).Terminal():
			return p, nil
		case err == nil:
			missed = 0
			m.show(p, time.Now())
		case !silent(err) || missed == patience:
			return p, err
		default:
			missed++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p, context.Cause(ctx)
		}
	}
}

// silent reports an error that is a server that does not answer.
func silent(err error) bool {
	f := (*failure)(nil)
	return errors.As(err, &f) && f.code == exitUnreachable
}

// interval is the pause between two looks at a job.
func (a *app) interval() time.Duration {
	if a.err.tty {
		return drawInterval
	}
	return plainInterval
}

// outcome is the exit code for how a job ended.
func outcome(status string) int {
	switch resource.TransformJobStatus(status) {
	case resource.JobCompleted:
		return exitOK
	case resource.JobStopped:
		return exitJobStopped
	case resource.JobFailed:
		return exitJobFailed
	}
	return exitFailed
}

// elapsed is how long a job took, or has taken.
func elapsed(p api.JobProgress, now time.Time) time.Duration {
	if p.Ended != nil {
		now = *p.Ended
	}
	return now.Sub(p.Created)
}
