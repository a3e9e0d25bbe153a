package s3store

import (
	"context"
	"errors"
	"net/http"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// failed turns an error of the SDK into one that the seam promises.
func failed(ref objstore.Ref, doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Unavailable, err, "%s %s was interrupted", doing, ref)
	}
	c, st := code(err), status(err)
	switch {
	case strings.HasPrefix(c, "KMS."):
		return fault.Wrap(fault.Denied, err, "%s %s was denied: the key cannot be used: %s: %s", doing, ref, strings.TrimPrefix(c, "KMS."), message(err))
	case c == "NoSuchBucket":
		return objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, err)
	case st == http.StatusNotFound:
		return objstore.NotFound(ref, err)
	case st == http.StatusForbidden, st == http.StatusUnauthorized:
		return fault.Wrap(fault.Denied, err, "%s %s was denied (%s); check the credentials and the policy of the bucket", doing, ref, describe(c, st))
	case st == http.StatusMovedPermanently:
		return fault.Wrap(fault.Invalid, err, "the bucket %q is in another region than the one configured", ref.Bucket)
	case st == http.StatusPreconditionFailed, st == http.StatusConflict:
		return fault.Wrap(fault.Conflict, err, "%s %s met a change by somebody else (%s)", doing, ref, describe(c, st))
	case st == http.StatusNotImplemented:
		return fault.Wrap(fault.Unsupported, err, "the store cannot do what %s %s needs (%s)", doing, ref, describe(c, st))
	case st >= 500, st == http.StatusTooManyRequests, st == http.StatusRequestTimeout, c == "RequestTimeout", c == "SlowDown":
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: the store answered %s", doing, ref, describe(c, st))
	case st >= 400:
		return fault.Wrap(fault.Invalid, err, "%s %s was refused: the store answered %s", doing, ref, describe(c, st))
	case noCredentials(err):
		return fault.Wrap(fault.Denied, err, "%s %s needs AWS credentials, and none were found", doing, ref)
	}
	// What is left never got an answer: name service, connection, TLS.
	return fault.Wrap(fault.Unavailable, err, "%s %s failed: the store cannot be reached", doing, ref)
}

// code is the error code of S3's answer, "" without one.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// message is what S3's answer says of the error, "" without one.
func message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}

// status is the HTTP status of S3's answer, 0 without one.
func status(err error) int {
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		return re.HTTPStatusCode()
	}
	return 0
}

func describe(code string, status int) string {
	text := http.StatusText(status)
	if code == "" || code == text || code == "UnknownError" {
		return text
	}
	return code
}

func noCredentials(err error) bool {
	var signing *v4.SigningError
	return errors.As(err, &signing)
}
