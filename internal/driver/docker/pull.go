package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// pull is one download that any number of callers wait for. The last who leaves
// before its end cancels it.
type pull struct {
	cancel  context.CancelFunc
	waiters int // guarded by the driver's mutex

	done chan struct{}
	err  error // valid once done is closed

	mu       sync.Mutex
	progress driver.Pull
	news     chan struct{} // closed and replaced when progress changes
}

// pull has the engine download an image, or joins the download that goes on.
func (d *Driver) pull(ctx context.Context, name string, ref reference.Named, report func(driver.Pull)) error {
	p := d.joinPull(name, ref)
	defer d.leavePull(ref, p)
	for {
		p.mu.Lock()
		progress, news := p.progress, p.news
		p.mu.Unlock()
		if report != nil {
			report(progress)
		}
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return fmt.Errorf("pulling image %s: %w", name, ctx.Err())
		case <-news:
		}
	}
}

func (d *Driver) joinPull(name string, ref reference.Named) *pull {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pulls[ref.String()]
	if p == nil {
		var ctx context.Context
		p = &pull{done: make(chan struct{}), news: make(chan struct{}), progress: driver.Pull{Text: "asks the registry for it"}}
		ctx, p.cancel = context.WithCancel(d.life)
		d.pulls[ref.String()] = p
		d.handlers.Go(func() {
			d.log.Info("pulling an image", "image", name)
			p.err = d.download(ctx, name, ref, p)
			d.log.Info("pulled an image", "image", name, "error", p.err)
			d.mu.Lock()
			if d.pulls[ref.String()] == p {
				delete(d.pulls, ref.String())
			}
			d.mu.Unlock()
			close(p.done)
		})
	}
	p.waiters++
	return p
}

// leavePull takes one caller away. A pull without callers is nobody's to join.
func (d *Driver) leavePull(ref reference.Named, p *pull) {
	d.mu.Lock()
	p.waiters--
	last := p.waiters == 0
	if last && d.pulls[ref.String()] == p {
		delete(d.pulls, ref.String())
	}
	d.mu.Unlock()
	if last {
		p.cancel()
	}
}

// download is the pull itself.
func (d *Driver) download(ctx context.Context, name string, ref reference.Named, p *pull) error {
	auth, err := credentials(ctx, ref)
	if err != nil {
		return noImage(err, name, "the credentials for its registry %s cannot be read from the Docker configuration: %v", reference.Domain(ref), err)
	}
	stream, err := d.engine.ImagePull(ctx, ref.String(), client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return d.pullFailure(name, ref, auth != "", err)
	}
	defer stream.Close()
	var t tally
	for message, err := range stream.JSONMessages(ctx) {
		if err == nil && message.Error != nil {
			err = message.Error
		}
		if err != nil {
			return d.pullFailure(name, ref, auth != "", err)
		}
		t.add(message)
		p.tell(t.sum())
	}
	return nil
}

func (p *pull) tell(progress driver.Pull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if progress != p.progress {
		p.progress = progress
		close(p.news)
		p.news = make(chan struct{})
	}
}

// maxLayers bounds what a tally remembers; images have at most 127 layers.
const maxLayers = 1000

// tally adds up what an engine says of the layers of one image.
type tally struct {
	layers map[string]driver.Pull
	text   string
}

func (t *tally) add(m jsonstream.Message) {
	l, known := t.layers[m.ID]
	if m.ID == "" || !known && len(t.layers) >= maxLayers {
		return
	}
	switch m.Status {
	case "Downloading":
		t.text = "downloads it"
		if m.Progress != nil {
			l.Done, l.Total = max(0, m.Progress.Current), max(0, m.Progress.Total)
		}
	case "Extracting":
		t.text = "unpacks it"
		if m.Progress != nil && l.Total == 0 {
			l.Total = max(0, m.Progress.Total)
		}
		l.Done = l.Total
	case "Download complete", "Verifying Checksum", "Pull complete":
		l.Done = l.Total
	default:
		return
	}
	if t.layers == nil {
		t.layers = map[string]driver.Pull{}
	}
	t.layers[m.ID] = l
}

func (t *tally) sum() driver.Pull {
	all := driver.Pull{Text: t.text}
	if all.Text == "" {
		all.Text = "asks the registry for it"
	}
	for _, l := range t.layers {
		all.Done += min(l.Done, l.Total)
		all.Total += l.Total
	}
	return all
}

// pullFailure explains a pull that did not work. Engines tell most of it in words.
func (d *Driver) pullFailure(name string, ref reference.Named, known bool, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("pulling image %s: %w", name, err)
	}
	text := err.Error()
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	registry := reference.Domain(ref)
	switch {
	case away(err):
		return d.failure(err, "")
	case says("no space left on device"):
		return fault.Wrap(fault.Internal, err, "image %q cannot be pulled: the disk of the Docker engine is full; free some of it (docker system df)", name)
	case says("no matching manifest", "does not match the specified platform"):
		return noImage(err, name, "registry %s does not have it for the engine's platform; build it for that platform (%s)", registry, said(err))
	case says("unauthorized", "authentication required", "no basic auth", "denied", "forbidden", "401", "403") || errdefs.IsUnauthorized(err):
		return noImage(err, name, "registry %s refuses it, or does not have it (%s)%s", registry, said(err), advice(registry, known))
	case says("manifest unknown", "not found", "name unknown", "does not exist"), errdefs.IsNotFound(err):
		return noImage(err, name, "registry %s does not have it (%s); correct its name or tag, or push it", registry, said(err))
	}
	return noImage(err, name, "the Docker engine does not have it and cannot pull it from registry %s: %s", registry, said(err))
}

func advice(registry string, known bool) string {
	if known {
		return "; the credentials of the Docker configuration were sent: renew them with: docker login " + registry
	}
	return "; the Docker configuration of the user that runs the server has no credentials for it: docker login " + registry
}
