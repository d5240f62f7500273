/* openapi.yaml as it was when this binary was built. */
#ifndef SLUICE_OPENAPI_EMBEDDED_H
#define SLUICE_OPENAPI_EMBEDDED_H

#include "base/text.h"

struct text embedded_contract(void);

#endif
