/* A request that waits for time to pass, on the loop: no thread is held. */
#ifndef SLUICE_API_REQUEST_PAUSE_H
#define SLUICE_API_REQUEST_PAUSE_H

#include "api/request.h"

/* STAGE_WAIT: the stage is called again after `delay_ms`. A client that leaves ends the request. Nothing else may be
 * under way for it. */
enum stage_verdict request_pause(struct request *request, uint64_t delay_ms);

#endif
