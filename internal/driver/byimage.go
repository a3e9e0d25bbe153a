package driver

import (
	"context"
	"errors"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Choice is one of the drivers of ByImage.
type Choice struct {
	Driver Driver
	// Takes reports whether the driver runs an image.
	Takes func(image string) bool
}

// ByImage is a Driver that leaves each image to the first of several drivers that
// takes it. An image that none takes is an error that wraps ErrNoImage.
func ByImage(choices ...Choice) Driver { return byImage(choices) }

type byImage []Choice

func (b byImage) driverOf(image string) (Driver, error) {
	for _, c := range b {
		if c.Takes(image) {
			return c.Driver, nil
		}
	}
	return nil, fault.Wrap(fault.Invalid, ErrNoImage, "image %q cannot be run: none of the runtimes of this server takes it", image)
}

// Prepare implements Driver.
func (b byImage) Prepare(ctx context.Context, image string, report func(Pull)) (Image, error) {
	d, err := b.driverOf(image)
	if err != nil {
		return Image{}, err
	}
	return d.Prepare(ctx, image, report)
}

// Start implements Driver.
func (b byImage) Start(ctx context.Context, spec Spec) (Handle, error) {
	d, err := b.driverOf(spec.Image)
	if err != nil {
		return nil, err
	}
	return d.Start(ctx, spec)
}

// Attach implements Driver. An instance whose image is told is looked for at the
// driver that takes it and nowhere else, so that no image waits for a runtime that
// it does not need. Otherwise the first driver that has the instance gives it; one
// that does not answer may have it, so its error counts for more than a no.
func (b byImage) Attach(ctx context.Context, spec Spec) (Handle, error) {
	if spec.Image != "" {
		d, err := b.driverOf(spec.Image)
		if err != nil {
			return nil, err
		}
		return d.Attach(ctx, spec)
	}
	var unsure error
	none := error(ErrNoInstance)
	for _, c := range b {
		h, err := c.Driver.Attach(ctx, spec)
		switch {
		case err == nil:
			return h, nil
		case errors.Is(err, ErrNoInstance):
			none = err
		default:
			unsure = errors.Join(unsure, err)
		}
	}
	if unsure != nil {
		return nil, unsure
	}
	return nil, none
}

// Sweep implements Driver: all are swept, whatever becomes of one of them.
func (b byImage) Sweep(ctx context.Context, keep []string) error {
	var errs []error
	for _, c := range b {
		errs = append(errs, c.Driver.Sweep(ctx, keep))
	}
	return errors.Join(errs...)
}
