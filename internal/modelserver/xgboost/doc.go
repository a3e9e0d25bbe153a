// Package xgboost is the built-in model server for XGBoost boosters: it loads
// the model of a folder and answers over HTTP as a SageMaker model container
// has to. Package booster beneath it makes the predictions.
//
// It follows AWS's XGBoost container: the content types, the default of libsvm
// for a request without one, the form of the answers in batch jobs and in
// hosting, 204 for an empty body, and the limit MAX_CONTENT_LENGTH. It differs
// where that container would guess or hide an error: bad data is 400 with the
// row and column, not 415; numbers are the shortest text of a float32, not of
// its float64; the Accept header counts in batch jobs too; and a libsvm index
// is the column as it stands whatever else is in the request, because an answer
// must not depend on how a job's records were put into requests.
//
// The package leaves to others how the process is started and stopped. It
// imports nothing of this module but its own sub-packages, because it runs as a
// process of its own.
package xgboost
