#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/rslvq.comp"
LVQ_KERNEL_END
