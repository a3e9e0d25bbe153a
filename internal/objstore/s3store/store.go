// Package s3store keeps objects in Amazon S3 or any store that speaks its
// protocol. It implements objstore.Store for jobs and nothing more.
//
// Requests that fail in a way that may pass are repeated here, with pauses. A
// body that breaks off in the middle is not: that is objstore.NewReader's.
package s3store

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

const (
	attempts      = 5
	longestPause  = 5 * time.Second
	answerTimeout = 10 * time.Minute // a store may join the parts of a large object before it answers
	idleTimeout   = time.Minute      // between two pieces of a body
	bucketMemory  = time.Minute      // how long a bucket is taken to exist still
	maxBuckets    = 1000             // remembered
)

// Config says where the store is. Empty members are taken from the usual AWS
// environment, profile and role.
type Config struct {
	// Endpoint is a URL such as http://127.0.0.1:9000; "" is AWS itself, or what
	// AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL name.
	Endpoint string
	Region   string

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string

	// For tests; 0 means the constants.
	pause, idle time.Duration
}

// Store is a client of one S3. It is safe for concurrent use.
type Store struct {
	s3        *s3.Client
	transport *http.Transport
	idle      time.Duration

	mu    sync.Mutex
	known map[string]time.Time // buckets and when they were last seen; guarded by mu
	parts sync.Pool            // *[]byte of firstPart capacity
}

var _ objstore.Store = (*Store)(nil)

// New makes a client. It reads the environment but asks the store nothing yet.
func New(ctx context.Context, c Config) (*Store, error) {
	opts := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newHTTPClient()), // AWS_CA_BUNDLE is added to it
		config.WithRetryer(func() aws.Retryer { return newRetryer(cmp.Or(c.pause, longestPause)) }),
	}
	if c.Region != "" {
		opts = append(opts, config.WithRegion(c.Region))
	}
	if c.AccessKeyID != "" {
		opts = append(opts, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the AWS configuration for S3 cannot be loaded")
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // AWS redirects from it, other stores ignore it
	}
	transport := newHTTPClient().GetTransport()
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = b.GetTransport()
	}
	s := &Store{transport: transport, idle: cmp.Or(c.idle, idleTimeout), known: map[string]time.Time{}}
	s.parts.New = func() any { b := make([]byte, 0, firstPart); return &b }
	s.s3 = s3.NewFromConfig(cfg, func(o *s3.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		if foreign(o.BaseEndpoint) {
			forForeign(o)
		}
		o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: sameStore}
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return s, nil
}

// Close drops the idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// foreign reports whether an endpoint is not AWS's own.
func foreign(endpoint *string) bool {
	if endpoint == nil {
		return false
	}
	u, err := url.Parse(*endpoint)
	return err != nil || !ofAWS(u)
}

// forForeign avoids what stores other than AWS's often cannot do: bucket names
// in the host, and the checksum trailers that the SDK sends by default.
func forForeign(o *s3.Options) {
	o.UsePathStyle = true
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

func newRetryer(longest time.Duration) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.MaxBackoff = longest
		// The SDK's quota would be shared by all jobs: one bad object could use up
		// the tries of the others.
		o.RateLimiter = ratelimit.None
	})
}

func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0
		t.MaxIdleConnsPerHost = 64
		t.ReadBufferSize = 128 << 10
		t.WriteBufferSize = 128 << 10
		t.DisableCompression = true // or an object with Content-Encoding: gzip is inflated silently
		t.ResponseHeaderTimeout = answerTimeout
		t.IdleConnTimeout = 90 * time.Second
	})
}

// sameStore follows only the redirects that repeat the request as it was, and stay with
// the store: at its own address, or from one of AWS's to another. A server that answers
// for a store does not choose which services of our network are asked.
func sameStore(r *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	if c := r.Response.StatusCode; len(via) >= 5 || c != http.StatusTemporaryRedirect && c != http.StatusPermanentRedirect {
		return http.ErrUseLastResponse
	}
	if r.URL.Scheme != from.Scheme || r.URL.Host != from.Host && !(ofAWS(r.URL) && ofAWS(from)) {
		return http.ErrUseLastResponse
	}
	if r.URL.Host != from.Host {
		r.Header.Del("X-Amz-Security-Token")
	}
	return nil
}

func ofAWS(u *url.URL) bool { return strings.HasSuffix(u.Hostname(), ".amazonaws.com") }
