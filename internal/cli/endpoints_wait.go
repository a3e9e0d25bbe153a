package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// What endpoints wait may wait for.
const (
	forInService = "in-service"
	forDeleted   = "deleted"
)

// endpointsWait is the command that waits for an endpoint.
func (a *app) endpointsWait(f *targetFlags) *cobra.Command {
	goal := ptr(forInService)
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "wait NAME",
		Short: "Show an endpoint's progress until it serves or is gone",
		Long: `Show an endpoint's progress until it is InService or, with --for deleted, gone, and tell by
the exit code how it ended: 0 as it was waited for, 3 as Failed or UpdateRollbackFailed, 6 in
service and its last change was rolled back. An endpoint that is OutOfService heals by itself
and is waited for. Interrupting the command leaves the endpoint alone.`,
		Example: `  sagebrush endpoints wait prices
  sagebrush endpoints wait prices --for deleted --timeout 5m`,
	}
	choiceFlag(cmd, &goal, "for", "what to wait for", forInService, forDeleted)
	cmd.Flags().DurationVar(&limit, "timeout", 0, "give up after so long, with the exit code 1 (default never)")
	return a.endpointCommand(cmd, f, func(ctx context.Context, c *client, endpoint string) error {
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, limit, failed(exitFailed, "%s was not %s within %s", endpoint, *goal, limit).
				hint("sagebrush endpoints describe %s shows what it waits for", endpoint))
			defer cancel()
		}
		began := time.Now()
		p, err := a.watchEndpoint(ctx, c, endpoint, *goal)
		if err != nil {
			return err
		}
		a.code = endpointOutcome(p, *goal)
		if a.json {
			return a.printJSON(p)
		}
		a.out.linef("%s: %s after %s%s", endpoint, a.out.status(p.Status), span(time.Since(began)), readyText(p))
		if p.FailureReason != "" {
			a.out.line(p.FailureReason)
		}
		return nil
	})
}

// statusGone stands for the status of an endpoint that is deleted.
const statusGone = "Deleted"

// watchEndpoint shows an endpoint's progress on standard error until it has come to
// its end, and gives its last state.
func (a *app) watchEndpoint(ctx context.Context, c *client, endpoint, goal string) (p api.EndpointProgress, err error) {
	tick := time.NewTicker(a.interval())
	defer tick.Stop()
	defer a.err.erase()
	missed, last := 0, ""
	for {
		p, err = c.hosted(ctx, endpoint)
		switch {
		case err == nil && settled(p, goal):
			return p, nil
		case err == nil:
			missed = 0
			last = a.showEndpoint(p, last)
		case goal == forDeleted && gone(err):
			return api.EndpointProgress{Name: endpoint, Status: statusGone, Variants: []api.EndpointVariant{}, Traffic: []api.VariantTraffic{}}, nil
		case ctx.Err() != nil:
			return p, context.Cause(ctx)
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

// gone reports an answer that says that the endpoint does not exist.
func gone(err error) bool {
	r := (*refusal)(nil)
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// settled reports whether there is nothing more to wait for.
func settled(p api.EndpointProgress, goal string) bool {
	switch resource.EndpointStatus(p.Status) {
	case resource.EndpointFailed:
		return true
	case resource.EndpointInService, resource.EndpointUpdateRollbackFailed:
		return goal == forInService
	}
	return false
}

// endpointOutcome is the exit code for how a wait ended.
func endpointOutcome(p api.EndpointProgress, goal string) int {
	switch {
	case p.Status == statusGone:
		return exitOK
	case resource.EndpointStatus(p.Status) == resource.EndpointInService && goal == forInService:
		if p.FailureReason != "" { // EP-11
			return exitRolledBack
		}
		return exitOK
	}
	return exitJobFailed
}

// showEndpoint draws the progress over on a terminal; elsewhere it prints a line
// when it has changed. It gives what was shown.
func (a *app) showEndpoint(p api.EndpointProgress, last string) string {
	text := p.Name + ": " + p.Status + readyText(p)
	if c := p.Change; c != nil && c.Kind == "deploy" {
		text += fmt.Sprintf(", %.0f %% of the traffic moved", 100*c.Share)
	}
	switch {
	case a.err.tty:
		a.err.draw(clip(text, a.err.width()-1))
	case text != last:
		a.err.line(text)
	}
	return text
}

// readyText says how many instances serve, old and new ones apart.
func readyText(p api.EndpointProgress) string {
	var ready, wanted [2]int // of the fleet that serves, and of the new one
	var any [2]bool
	for _, v := range p.Variants {
		k := 0
		if v.Pending {
			k = 1
		}
		ready[k], wanted[k], any[k] = ready[k]+v.Ready, wanted[k]+v.Wanted, true
	}
	text := ""
	if any[0] {
		text = fmt.Sprintf(", %d of %d instances ready", ready[0], wanted[0])
	}
	if any[1] {
		text += fmt.Sprintf(", %d of %d new ones", ready[1], wanted[1])
	}
	return text
}
