/* Host port: nothing traps. */
#pragma once
