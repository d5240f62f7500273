/* What tus (resumable uploads) wants of every answer to its operations, whoever makes it. */
#ifndef SLUICE_API_TUS_H
#define SLUICE_API_TUS_H

#include "api/request.h"

#define TUS_VERSION "1.0.0"
/* What browsers must be allowed to send and to read. */
#define TUS_REQUEST_HEADERS "Tus-Resumable, Upload-Checksum, Upload-Length, Upload-Metadata, Upload-Offset"
#define TUS_ANSWER_HEADERS                                                                                             \
    "Location, Sluice-Upload, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "       \
    "Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset"

/* The operation is one of resumable uploads. */
bool tus_is(const struct request *request);
/* Tus-Resumable, where the operation is. */
void tus_add_version(struct request *request);
/* To an OPTIONS of their paths: what this server can do. */
void tus_add_capabilities(struct request *request);

#endif
