package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Prepare implements driver.Driver. An image that the engine has is not asked
// after anywhere else. Its resolved name carries the registry's digest when it
// came from one, and else the image's own ID, which Start understands too.
func (d *Driver) Prepare(ctx context.Context, name string, report func(driver.Pull)) (driver.Image, error) {
	ref, err := parse(name)
	if err != nil {
		return driver.Image{}, err
	}
	d.settle(ctx)
	facts, err := d.know(ctx)
	if err != nil {
		return driver.Image{}, err
	}
	img, err := d.find(ctx, name, ref)
	if err == nil && img == nil {
		if err = d.pull(ctx, name, ref, report); err == nil {
			img, err = d.find(ctx, name, ref)
		}
	}
	if err != nil {
		return driver.Image{}, err
	}
	if img == nil {
		return driver.Image{}, noImage(nil, name, "the engine does not have it although it was pulled; was it removed just now?")
	}
	if err := d.checkPlatform(name, img, facts); err != nil {
		return driver.Image{}, err
	}
	out := driver.Image{Specified: name, Resolved: resolve(name, ref, img), At: time.Now()}
	if img.Config != nil {
		out.Labels = img.Config.Labels
	}
	return out, nil
}

// startable finds the image that a Spec pins, or names.
func (d *Driver) startable(ctx context.Context, spec driver.Spec, facts facts) (*client.ImageInspectResult, error) {
	name := spec.Image
	if spec.Resolved != "" {
		name = spec.Resolved
	}
	ref, err := parse(name)
	if err != nil {
		return nil, err
	}
	img, err := d.find(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	if img == nil {
		return nil, noImage(nil, name, "the engine at %s does not have it; pull or load it", d.host)
	}
	return img, d.checkPlatform(name, img, facts)
}

// parse reads a name as Docker does. With a digest, the tag means nothing.
func parse(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, noImage(err, name, "that is no name of an image (%v)", err)
	}
	if digested, ok := ref.(reference.Digested); ok {
		return reference.WithDigest(reference.TrimNamed(ref), digested.Digest())
	}
	return reference.TagNameOnly(ref), nil
}

// noImage is an image that is at fault.
func noImage(cause error, name, format string, args ...any) error {
	if cause == nil {
		cause = driver.ErrNoImage
	} else {
		cause = fmt.Errorf("%w: %w", driver.ErrNoImage, cause)
	}
	return fault.Wrap(fault.Invalid, cause, "image %q cannot be run: %s", name, fmt.Sprintf(format, args...))
}

// find gives the engine's image for a name, nil when it has none. A digest that
// no repository knows may be the ID of an image, as resolve makes them.
func (d *Driver) find(ctx context.Context, name string, ref reference.Named) (*client.ImageInspectResult, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	for _, try := range candidates(name, ref) {
		img, err := d.engine.ImageInspect(ctx, try)
		switch {
		case err == nil:
			return &img, nil
		case errdefs.IsNotFound(err), errdefs.IsInvalidArgument(err):
		default:
			return nil, d.failure(err, "image %q cannot be looked up", name)
		}
	}
	return nil, nil
}

// candidates are the names under which an engine may have an image: in full, as
// Docker wants it; as written, which Podman completes its own way; by its ID.
func candidates(name string, ref reference.Named) []string {
	tries := []string{ref.String()}
	if digested, ok := ref.(reference.Digested); ok {
		return append(tries, digested.Digest().String())
	}
	if name != ref.String() {
		tries = append(tries, name)
	}
	return tries
}

// resolve names what will run (EP-21). An image may have several digests of one
// repository; the first in the alphabet is the same each time.
func resolve(name string, ref reference.Named, img *client.ImageInspectResult) string {
	repository := repositoryOf(name)
	if digested, ok := ref.(reference.Digested); ok {
		return repository + "@" + digested.Digest().String()
	}
	for _, digest := range slices.Sorted(slices.Values(img.RepoDigests)) {
		known, err := reference.ParseNormalizedNamed(digest)
		if err != nil {
			continue
		}
		if digested, ok := known.(reference.Digested); ok && known.Name() == ref.Name() {
			return repository + "@" + digested.Digest().String()
		}
	}
	if !strings.Contains(img.ID, ":") { // Podman leaves the algorithm out
		return repository + "@sha256:" + img.ID
	}
	return repository + "@" + img.ID
}

// repositoryOf is an image's name, as it was written, without tag and digest.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name
}

// checkPlatform refuses what the engine's machine cannot execute.
func (d *Driver) checkPlatform(name string, img *client.ImageInspectResult, f facts) error {
	if img.Os == "" || img.Architecture == "" || d.config.Emulation {
		return nil
	}
	native := img.Architecture == f.arch || img.Architecture == "386" && f.arch == "amd64"
	if img.Os == f.os && native {
		return nil
	}
	return noImage(nil, name,
		"it is made for %s/%s and the Docker engine runs on %s/%s; build it for %s/%s, or allow emulation where the machine has an emulator",
		img.Os, img.Architecture, f.os, f.arch, f.os, f.arch)
}
